"""The daemon's own settings: ``config.toml`` as frozen models, or every problem in it at once.

``loader.load_settings`` reads and checks a file; ``models.Settings`` is what it gives;
``reference`` writes the option tables of the documentation from the models.
"""
