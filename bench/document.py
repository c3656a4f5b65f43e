"""Tables in Markdown files, between <!-- NAME: begin --> and <!-- NAME: end -->, so that no figure is typed by hand."""
import sys


def split(path, name):
    """The file's text up to the first mark and from the second on, both included."""
    begin, end = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
    text = path.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        sys.exit(f"{name.removesuffix('.py')}: {path} has no single pair of marks; want a line {begin}, below it {end}")
    head, tail = text.index(begin) + len(begin), text.index(end)
    return text[:head], text[tail:]


def put(path, name, table):
    """Replaces what stands between the marks."""
    before, behind = split(path, name)
    path.write_text(f"{before}\n\n{table.strip()}\n\n{behind}")
