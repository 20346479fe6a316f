"""What a person does with stored differences: list them, look at one, see what a rule would hide, accept it."""
