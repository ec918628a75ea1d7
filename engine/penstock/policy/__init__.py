"""Traffic policy as data: load, validate, merge, and say where each value came from.

``load_policies`` turns the texts of the files under ``policies/`` into ``Policies`` or into every
``Problem`` in them. ``Policies`` answers who a domain's provider is, what its site is called and
which ``Limits`` hold there. ``difference`` says what a reload would change.
"""
