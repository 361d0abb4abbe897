"""Print the lowest direct dependencies that pyproject.toml allows, as constraints."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["parquet"]]:
    name, lowest = re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement).groups()
    print(f"{name}=={lowest}" if lowest.count(".") > 1 else f"{name}=={lowest}.*")
