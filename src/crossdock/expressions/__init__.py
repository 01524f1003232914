"""The expression language: `{{ ... }}` inside any text of a JSON tree, evaluated over plain JSON.

`tree` compiles what people write, `body` makes the JSON that expressions see from a request body. Behind them:

- `source` splits a text into literals and code, and refuses what the language leaves out;
- `paths` answers plain references (`{{ body.customer.id }}`) without the engine, and says what is missing;
- `engine` runs everything else in MiniJinja, under limits;
- `views` and `filters` keep Python out of reach and memory bounded.

Beside it stands `jsonata`, the second language: compiled here, evaluated in a process of its own.

Rules: evaluation is pure and never changes what it reads; it raises `ExpressionError` and nothing else.
"""

from crossdock.expressions.body import json_problem, read_body
from crossdock.expressions.tree import CompiledTree, Uncompilable, compile_condition, compile_value

__all__ = ["CompiledTree", "Uncompilable", "compile_condition", "compile_value", "json_problem", "read_body"]
