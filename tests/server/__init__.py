"""A loopback server that speaks four providers' formats and misbehaves on request.

    python -m tests.server [--port 0] [--tls CERT KEY] [--no-log]

A request becomes an answer in three steps, and a fault works on one of them:

    Request -> Ask -> Answer -> Reply -> Wire
                      what is   status,   the bytes, the pauses between them,
                      said      headers,  how the connection ends
                                body

* `formats/` one module a provider: reads a request strictly, writes answers and errors as the provider does
* `faults.py` the table of faults: a fault is one entry (name, what it changes, its argument)
* `script.py` which fault a request gets (`POST /_script`)
* `app.py` the walk from request to wire; `http.py` the connection; `log.py` what was received
* `client.py` the handle for tests: `TestServer`; `fixtures.py` the pytest fixtures

To add a fault: write a function over `Answer`, `Reply` or `Wire`, give it a line in `FAULTS`,
and a check in `test_faults.py` (a test fails while that is missing).
"""
