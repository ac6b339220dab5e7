"""The API's description of itself: operations, schemas, OpenAPI and the page at ``/docs``.

Made from the models that validate and from the types of the wire.
"""
