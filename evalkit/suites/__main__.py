"""Print the JSON schemas of a suite's files."""

import json

from evalkit.suites.schema import json_schemas

print(json.dumps(json_schemas(), indent=2, ensure_ascii=False))
