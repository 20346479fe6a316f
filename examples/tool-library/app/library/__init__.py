# library/__init__.py
from flask import Flask

from library import api, data, suggestions, tools


def create_app():
    app = Flask(__name__)
    app.config.from_prefixed_env()  # FLASK_SECRET_KEY
    app.teardown_appcontext(data.close_database)
    app.register_blueprint(tools.pages)
    app.register_blueprint(api.api)
    app.register_blueprint(suggestions.pages)
    return app
