"""The statements of a module that one of its names depends on, so that others may be added to it.

    ridge = reachable(source, "ridge")    # not what only the factory beside it uses

Names decide: a definition, an import or a plain value counts if what counts already names it.
Statements that may do more than bind a name count always (calls, decorated definitions, classes of
which a base may note them, blocks, imports that no name uses), and so does everything in a module
that looks names up while it runs, as `globals`, `exec` and `sys.modules` do.
"""

import ast
from collections.abc import Iterable, Sequence

_DYNAMIC = {"globals", "locals", "vars", "exec", "eval", "compile", "__builtins__"}
_LOOKUPS = {"modules", "import_module", "__import__"}  # of sys, importlib and builtins


def reachable(source: bytes, name: str) -> list[ast.stmt]:
    r"""Return the statements at the top of a module that a name of it depends on, in their order.

    Parameters
    ----------
    source : bytes
        Of the module.
    name : str
        What it defines; if no statement does that by its name, all statements are returned.

    Raises
    ------
    SyntaxError, ValueError
        If it is no Python.

    Examples
    --------
    >>> source = b"import a, b\nX = [1]\ndef f(): return a.g(X)\ndef g(): return b.h()"
    >>> [ast.unparse(one).splitlines()[0] for one in reachable(source, "g")]
    ['import a, b', 'def g():']
    """
    body = ast.parse(source).body
    used = [_names(one) for one in body]
    anywhere = set[str]().union(*used)
    plain = {name for one in body for name in _of_sklearn(one)}
    bound = [_bound(one, anywhere, plain) for one in body]
    is_dynamic = any(names & _DYNAMIC for names in used) or any(map(_looks_up, body))
    if is_dynamic or not any(names and name in names for names in bound):
        return body
    wanted, chosen = {name}, set[int]()
    while more := {
        number
        for number, names in enumerate(bound)
        if number not in chosen and (names is None or names & wanted)
    }:
        chosen |= more
        wanted |= {one for number in more for one in used[number]}
    return [body[number] for number in sorted(chosen)]


def text_of(source: bytes, statements: Sequence[ast.stmt]) -> str:
    """Return the lines of some statements, with their decorators."""
    lines = source.decode("utf-8", "surrogateescape").splitlines()
    pieces = []
    for one in statements:
        decorators = getattr(one, "decorator_list", [])
        first = min([one.lineno, *(each.lineno for each in decorators)])
        pieces += lines[first - 1 : one.end_lineno]
    return "\n".join(pieces)


def _names(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _looks_up(statement: ast.stmt) -> bool:
    """Say whether a statement reaches modules, and so their names, by a text that is not known."""
    nodes = list(ast.walk(statement))
    named = {id(one.func) for one in nodes if isinstance(one, ast.Call) and _is_of_text(one)}
    return any(_name_of(one) in _LOOKUPS and id(one) not in named for one in nodes)


def _is_of_text(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant)


def _name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.alias(name=name, asname=str()):
            return name
        case _:
            return ""


def _of_sklearn(statement: ast.stmt) -> set[str]:
    """Return the names that are imported from scikit-learn, whose classes note no subclass."""
    match statement:
        case ast.ImportFrom(module=str(module), names=names, level=0):
            is_plain = module.partition(".")[0] == "sklearn"
            return {one.asname or one.name for one in names} if is_plain else set()
        case _:
            return set()


def _calls(nodes: Iterable[ast.AST | None]) -> bool:
    return any(isinstance(one, ast.Call) for node in nodes if node for one in ast.walk(node))


def _only_binds(
    statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, plain: set[str]
) -> bool:
    """Say whether a definition runs nothing of the user's when it is reached."""
    if statement.decorator_list:
        return False
    if not isinstance(statement, ast.ClassDef):
        return not _calls([*statement.args.defaults, *statement.args.kw_defaults])
    bases = all(isinstance(one, ast.Name) and one.id in plain for one in statement.bases)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    inside = [one for one in statement.body if not isinstance(one, definitions)]
    return bases and not statement.keywords and not _calls(inside)


def _bound(statement: ast.stmt, used: set[str], plain: set[str]) -> set[str] | None:
    """Return the names that a statement binds; None if it may do more, or it cannot be known.

    An import of which nothing is used is there for what it does.
    """
    found: set[str] | None = None
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            found = {statement.name} if _only_binds(statement, plain) else None
        case ast.Import(names=names):
            found = {one.asname or one.name.partition(".")[0] for one in names} & used or None
        case ast.ImportFrom(names=names):
            found = {one.asname or one.name for one in names} & used or None
        case ast.Assign(targets=targets, value=value):
            found = _bound_by(targets, value)
        case ast.AnnAssign(target=target, value=value):
            found = _bound_by([target], value)
        case ast.Expr(value=ast.Constant()):  # a docstring
            found = set()
        case ast.If(test=test) if "__name__" in _names(ast.Expr(test)):  # not run by an import
            found = set()
        case _:
            pass
    return found


def _bound_by(targets: Sequence[ast.expr], value: ast.expr | None) -> set[str] | None:
    plain = (ast.Name, ast.Tuple, ast.List, ast.Starred, ast.expr_context)
    nodes = [node for target in targets for node in ast.walk(target)]
    if _calls([value]) or not all(isinstance(node, plain) for node in nodes):
        return None
    return {node.id for node in nodes if isinstance(node, ast.Name)}
