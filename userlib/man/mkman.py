#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Manual pages from what is written already: the comments of the public headers (section 3, a page
for each part that a `/* ---- part ---- */` line begins) and memboxctl's own help (section 1).

    mkman.py OUTPUT-FOLDER MEMBOXCTL HEADER...
"""
import os
import re
import subprocess
import sys


def escape(text):
    """Plain text as troff takes it."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


def clean(comment):
    """The text of a C comment."""
    body = re.sub(r"^/\*|\*/$", "", comment.strip())
    lines = [re.sub(r"^\s*\*\s?", "", line).rstrip() for line in body.split("\n")]
    return "\n".join(lines).strip()


def blocks(section):
    """(comment, code) for each run of lines between blank ones; comment may be empty."""
    for block in re.split(r"\n\s*\n", section):
        block = block.strip("\n")
        if not block.strip():
            continue
        match = re.match(r"\s*(/\*.*?\*/)[ \t]*\n?", block, re.S)
        if match:
            yield clean(match.group(1)), block[match.end():].strip("\n")
        else:
            yield "", block


def functions(code):
    """Names declared in it."""
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    return re.findall(r"\b(membox_\w+)\s*\([^;{]*\)\s*;", code)


def sections(text):
    """(title, text) for each part of a header; the part before the first mark is its own."""
    text = re.sub(r"^#ifdef __cplusplus.*?^#endif\n", "", text, flags=re.S | re.M)
    parts = re.split(r"^/\*\n? ?\*? ?---- (.*?) ----(.*?)\*/\n", text, flags=re.S | re.M)
    yield "", parts[0]
    for i in range(1, len(parts), 3):
        rest = clean("/*" + parts[i + 1] + "*/")
        head = "/* %s */\n\n" % rest if rest else ""
        yield parts[i], head + parts[i + 2]


def code_text(code):
    return [".nf", ".ft CW", escape(code.expandtabs(8)), ".ft R", ".fi"]


def prose(text):
    """Paragraphs and lists; an indented line belongs to the one before it."""
    out = []
    for line in text.split("\n"):
        item = re.match(r"\s*- (.*)", line)
        if item:
            out += [".IP \\(bu 2", escape(item.group(1))]
        elif not line.strip():
            out.append(".PP")
        else:
            out.append(escape(line.strip()))
    return out


def page(name, title, header, section):
    """troff of one page, and the functions that it tells of."""
    names, about = [], []
    for comment, code in blocks(section):
        code = re.sub(r"^#(ifndef|include|endif|pragma).*\n?", "", code, flags=re.M)
        code = re.sub(r"^#define MEMBOX\w*_H\s*$", "", code, flags=re.M).strip("\n")
        names += functions(code)
        about.append(".PP")
        if code:
            about += code_text(code)
        if comment:
            comment = re.sub(r"^\w+\.h - ", "", comment)
            about += [".RS"] + prose(comment) + [".RE"] if code else prose(comment)
    listed = ", ".join(names) if names else name
    out = ['.TH %s 3 "" "membox" "membox"' % name.upper(), ".SH NAME",
           "%s \\- %s" % (escape(listed), escape(title or "a memory that several computers share")),
           ".SH SYNOPSIS", ".nf", "#include <membox/%s>" % header, ".fi",
           "Link with \\-lmembox (pkg\\-config membox).", ".SH DESCRIPTION"]
    out += about
    out += [".SH SEE ALSO", ".BR membox (3), .BR memboxctl (1)".replace(", .BR", ",\n.BR")]
    return "\n".join(out) + "\n", names


def page_name(names, title):
    """Of the first call that it tells of, but the overview is the library's."""
    return names[0] if names else re.sub(r"\W+", "_", title)


def write(folder, name, number, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "%s.%d" % (name, number)), "w", encoding="utf-8") as out:
        out.write(text)


def make_header(folder, path):
    header = os.path.basename(path)
    with open(path, encoding="utf-8") as source:
        text = re.sub(r"^/\* SPDX.*\n", "", source.read())
    for title, section in sections(text):
        names = functions(section)
        name = page_name(names, title) if title else \
            "membox" if header == "membox.h" else "membox_" + os.path.splitext(header)[0]
        if title and not names:
            continue
        made, names = page(name, title, header, section)
        write(folder, name, 3, made)
        for other in names:
            if other != name:
                write(folder, other, 3, ".so man3/%s.3\n" % name)


def make_program(folder, program):
    def ask(*args):
        return subprocess.run([program, *args], check=True, capture_output=True, text=True).stdout

    overview = ask("--help")
    out = ['.TH MEMBOXCTL 1 "" "membox" "membox"', ".SH NAME",
           "memboxctl \\- looks after memboxes", ".SH SYNOPSIS",
           ".B memboxctl", ".I VERB", "[OPTION]... [BOX] ...", ".SH DESCRIPTION"]
    out += code_text(overview)
    for verb in re.findall(r"^  (\w+) +\S", overview.split("\n\n")[2], flags=re.M):
        out += [".SH " + verb.upper()] + code_text(ask(verb, "--help"))
    out += [".SH SEE ALSO", ".BR membox (3)"]
    write(folder, "memboxctl", 1, "\n".join(out) + "\n")


def main():
    folder, program, headers = sys.argv[1], sys.argv[2], sys.argv[3:]
    for path in headers:
        make_header(folder, path)
    make_program(folder, program)


if __name__ == "__main__":
    main()
