"""The page where recipients unsubscribe: one click (RFC 8058) for machines, a button for people.

Links in mail are followed by scanners, so a GET changes nothing; only a POST does, and it needs no
cookie, no session and no second request.
"""
