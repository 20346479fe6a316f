"""Commands about evidence: diff, accept, rules, gate, shadow."""
