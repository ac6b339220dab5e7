"""The API's description of itself: operations, schemas, OpenAPI and the pages under ``/docs``.

Made from the models that validate and from the types of the wire. For the page that sends requests
we compared what PyPI has of the three kept interfaces, each with a bundle inside its package:

- Swagger UI (flask-swagger-ui 5.34, 0.7 MB): OpenAPI 3.1 with webhooks, sends requests, asks nobody
  else for anything, and works under a policy without inline scripts or styles. It is what ``/docs``
  serves, with our samples in it. Releases follow Swagger UI's, under its own numbers.
  swagger-ui-bundle is of 2022 and knows no 3.1; swagger-ui-py has 7 MB with an editor in it;
  drf-spectacular-sidecar needs Django and fastapi-swagger FastAPI, for the same files.
- Scalar (flask-openapi3-scalar 1.44, 0.9 MB, a script of 3.5 MB): more comfortable to read, but
  fonts, a proxy for requests and an assistant are other hosts', unless each is switched off.
- Redoc (flask-openapi3-redoc 2.5, 0.3 MB): shows samples by itself, and sends no requests.

None of them speaks Chinese, has the whole on one page to search or print, or works without scripts:
so our own page stays, at ``/docs/reference``, and at ``/docs`` where the extra is not installed.
"""
