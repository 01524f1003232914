"""Worker processes: functions that may hang, leak or crash are called there, and take nobody with them.

pool     which process makes which call; when processes begin and end
worker   our end of one process: begun, asked, ended, and its end told in words
frames   what both ends say to each other
inside   what runs in the process

Rules that hold here:

- A process is begun when a call needs it, and ended with SIGKILL to its whole group: nothing in it can object.
- It inherits nothing: a short list of environment variables, four file descriptors, a session of its own.
- What goes over is JSON. Nothing is pickled, so what comes back can't run here.
- It guards against accidents, not against malice: a function runs with the rights of the server's user.
"""
