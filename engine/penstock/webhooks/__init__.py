"""Telling applications what happened: batches of events, signed and posted to their endpoints.

The event log is the source and keeps everything for its retention. Each endpoint has a bounded
queue on disk in front of it; what finds it full is left in the log and fetched from there when
there is room again. So a dead endpoint costs a bounded piece of disk and a look now and then, and
loses nothing that the log still has.
"""
