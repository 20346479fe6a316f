"""The table of the stories in which both shops share a login."""

from __future__ import annotations

TABLE = """\
version: 1
app: migrated:create_app
legacy:
  url: ${LEGACY_URL}
identity:
  from: ask
  ask: /api/session
  cookie: shop_session
routes:
  - {name: account, path: /account, methods: [GET], target: migrated}
  - {name: cart, path: /cart, methods: [GET], target: migrated}
  - {name: checkout, path: /checkout, methods: [POST], target: migrated}
  - {name: stock, path: /stock, methods: [GET], target: migrated}
"""
