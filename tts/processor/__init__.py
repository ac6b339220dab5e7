"""Works on tasks: takes a message, does the task's next step, appends what happened.

It knows the domain, the ports, the use cases and the gate; what it talks to is handed to it.
"""
