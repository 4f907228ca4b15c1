"""Several ES modules joined into one, and node's own tests of those that need no DOM."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from resviz.views.widgets.modules import FRONTEND, joined, module_source, style_source

NODE = shutil.which("node")
TESTS = sorted((Path(__file__).parents[1] / "frontend").glob("*.test.mjs"))
VIEWS = sorted(
    file.name
    for file in FRONTEND.glob("*.js")
    if "export default" in file.read_text(encoding="utf-8")
)
needs_node = pytest.mark.skipif(NODE is None, reason="no node")
END = "export default { render: draw };\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_imports_come_first_and_once(tmp_path: Path) -> None:
    base = 'export const one = 1;\nexport function two() {\n  return "export const one";\n}\n'
    middle = 'import { one } from "./base.js";\nexport async function three() {\n  return one;\n}\n'
    view = 'import {\n  three,\n} from "./middle.js";\nimport { two } from "./base.js";\n'
    write(tmp_path, base=base, middle=middle, view=f"{view}function draw() {{}}\n{END}")
    text = joined(tmp_path, "view.js")
    assert "import" not in text and text.count("const one = 1") == 1
    assert text.index("const one") < text.index("async function three") < text.index("draw()")
    assert text.endswith(END) and text.count("export default") == 1
    assert 'return "export const one"' in text  # only keywords at the start of a line go


def test_a_view_within_a_view(tmp_path: Path) -> None:
    inner = f"export function inner() {{}}\n{END.replace('draw', 'inner')}"
    view = 'import { inner } from "./inner.js";\nfunction draw() {}\n' + END
    text = joined(write(tmp_path, inner=inner, view=view), "view.js")
    assert "function inner() {}" in text and text.count("export") == 1 and text.endswith(END)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"view": END.replace("render:", "")}, "must end in"),
        ({"view": END + END}, "must end in"),
        ({"view": f'import {{ a }} from "./gone.js";\n{END}'}, "no gone.js"),
        (
            {
                "a": "export const same = 1;\n",
                "view": f'import {{ same }} from "./a.js";\nconst same = 2;\n{END}',
            },
            "same is in a.js and in view.js",
        ),
        ({"view": f'import all from "./a.js";\n{END}', "a": ""}, "imports as import"),
        (
            {
                "a": 'import { c } from "./b.js";\n',
                "b": 'import { d } from "./a.js";\n',
                "view": f'import {{ c }} from "./a.js";\n{END}',
            },
            "a.js imports b.js imports a.js; no circles",
        ),
    ],
)
def test_what_cannot_be_joined(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        joined(write(tmp_path, **files), "view.js")


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_one_module_without_network(name: str) -> None:
    text = module_source(name)
    assert text.count("export default { render: ") == 1
    assert sum(line.startswith("export ") for line in text.splitlines()) == 1
    for forbidden in ("</script", "<!--", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("):
        assert forbidden not in text, forbidden
    addresses = text.replace("http://www.w3.org/", "")
    assert "http://" not in addresses and "https://" not in addresses
    # both are in the state of every widget; explore holds the other four, and a smaller picture
    most = 230_000 if name == "explore.js" else 200_000
    assert len(text) + len(style_source()) < most


@needs_node
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_parses(name: str, tmp_path: Path) -> None:
    """node refuses a name that is declared twice, too."""
    (tmp_path / "view.mjs").write_text(module_source(name), encoding="utf-8")
    script = f'const m = await import("{(tmp_path / "view.mjs").as_uri()}");'
    script += 'if (typeof m.default.render !== "function") process.exit(3);'
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_style_begins_with_the_shared_sheet() -> None:
    assert style_source().startswith((FRONTEND / "style.css").read_text(encoding="utf-8")[:60])
    assert "url(" not in style_source() and "@import" not in style_source()


@needs_node
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_node(file: Path) -> None:
    done = subprocess.run(
        [str(NODE), "--test", str(file)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_node_has_tests() -> None:
    assert TESTS and VIEWS
