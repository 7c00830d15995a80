"""For every test."""

import signal

# A test run that was started in the background inherits an ignored Ctrl-C, and would hand it on to the processes that
# the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
