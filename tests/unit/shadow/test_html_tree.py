"""Pages as trees: what a browser would read, and the same whether two pages share parts or not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.findings import EnoughFindings, Findings
from overgrow.shadow.compare.html_bodies import child_paths, compare_html_trees
from overgrow.shadow.compare.html_tree import Element, parse_html, parse_html_pair
from overgrow.shadow.compare.pairing import MAX_DEPTH, TooDeep
from overgrow.shadow.redact.html_tokens import MAX_UNCLOSED, split_html_tokens
from overgrow.shadow.values.difference import MAX_PATH


def data_of(node):
    if isinstance(node, str):
        return node
    return (node.tag, node.attributes, [data_of(each) for each in node.children])


def children(text):
    return data_of(parse_html(text))[2]


PAGES = [
    pytest.param("a < b", ["a < b"], id="a sign that begins no tag"),
    pytest.param("<p title='a>b'>x", [("p", {"title": "a>b"}, ["x"])], id="a sign in quotes"),
    pytest.param('<p title=it"s>x', [("p", {"title": 'it"s'}, ["x"])], id="a quote in a value"),
    pytest.param("<p title = x>y", [("p", {"title": "x"}, ["y"])], id="spaces around ="),
    pytest.param("<p a=1 a=2>", [("p", {"a": "1"}, [])], id="the first of two attributes"),
    pytest.param("<a href=/x/>y", [("a", {"href": "/x/"}, ["y"])], id="a slash of a value"),
    pytest.param("<p title=&lt;>&amp;", [("p", {"title": "<"}, ["&"])], id="references"),
    pytest.param("<!-- <p> -->x<!-->y<!--->z", ["xyz"], id="comments"),
    pytest.param("<?php x ?>a</3>b</>c", ["abc"], id="comments that are none"),
    pytest.param("<![CDATA[x]]>y", ["y"], id="a section of characters"),
    pytest.param(
        "<script>if (a<b) '<p>'</script>x",
        [("script", {}, ["if (a<b) '<p>'"]), "x"],
        id="a script",
    ),
    pytest.param("<script src=a></script>", [("script", {"src": "a"}, [])], id="an empty script"),
    pytest.param("<script>a</Script >b", [("script", {}, ["a"]), "b"], id="the end of a script"),
    pytest.param("<title>a<b>&lt;</title>", [("title", {}, ["a<b><"])], id="a title"),
    pytest.param(
        "<textarea>\n a\n</textarea>", [("textarea", {}, [" a\n"])], id="a first line end"
    ),
    pytest.param("<pre>\na</pre>", [("pre", {}, ["a"])], id="a first line end of a text"),
    pytest.param("<svg><title/>x</svg>", [("svg", {}, [("title", {}, []), "x"])], id="in SVG"),
    pytest.param("a<!--x", ["a"], id="a comment that never ends"),
    pytest.param("a<p b", ["a<p b"], id="a tag that never ends"),
    pytest.param("", [], id="nothing"),
]


@pytest.mark.parametrize(("text", "found"), PAGES)
def test_a_page_is_read_as_a_browser_reads_it(text, found):
    assert children(text) == found


INLINE = (
    "a abbr b bdi bdo button cite code data del dfn em i img input ins kbd label mark meter output"
    " picture progress q ruby s samp select small span strong sub sup textarea time u var wbr"
)
LEFT_OUT = [
    pytest.param("<p>a<wbr>b", [("p", {}, ["a", ("wbr", {}, []), "b"])], id="a void element"),
    pytest.param(
        "<ul><li>a<ul><li>b</ul><li>c</ul>",
        [("ul", {}, [("li", {}, ["a", ("ul", {}, [("li", {}, ["b"])])]), ("li", {}, ["c"])])],
        id="items, and a list inside one",
    ),
    pytest.param(
        "<dl><dt>a<dd>b<dt>c</dl>",
        [("dl", {}, [("dt", {}, ["a"]), ("dd", {}, ["b"]), ("dt", {}, ["c"])])],
        id="terms",
    ),
    pytest.param(
        "<select><option>a<option>b</select>",
        [("select", {}, [("option", {}, ["a"]), ("option", {}, ["b"])])],
        id="options",
    ),
    pytest.param(
        "<select><optgroup><option>a<optgroup><option>b</select>",
        [("select", {}, [("optgroup", {}, [("option", {}, [each])]) for each in "ab"])],
        id="groups of options",
    ),
    pytest.param(
        "<table><tr><th>a<td>b<tr><td>c</table>",
        [
            (
                "table",
                {},
                [
                    ("tr", {}, [("th", {}, ["a"]), ("td", {}, ["b"])]),
                    ("tr", {}, [("td", {}, ["c"])]),
                ],
            )
        ],
        id="rows",
    ),
    pytest.param(
        "<table><tr><td><table><tr><td>a</table>b</table>",
        [
            (
                "table",
                {},
                [
                    (
                        "tr",
                        {},
                        [("td", {}, [("table", {}, [("tr", {}, [("td", {}, ["a"])])]), "b"])],
                    )
                ],
            )
        ],
        id="a table in a table",
    ),
    pytest.param(
        "<table><thead><tr><th>a<tbody><tr><td>b<tfoot><tr><td>c</table>",
        [
            (
                "table",
                {},
                [
                    ("thead", {}, [("tr", {}, [("th", {}, ["a"])])]),
                    ("tbody", {}, [("tr", {}, [("td", {}, ["b"])])]),
                    ("tfoot", {}, [("tr", {}, [("td", {}, ["c"])])]),
                ],
            )
        ],
        id="the parts of a table",
    ),
    pytest.param(
        "<html><head><link><body>a",
        [("html", {}, [("head", {}, [("link", {}, [])]), ("body", {}, ["a"])])],
        id="the head",
    ),
    pytest.param(
        "<p>a<ul><li>b</ul>",
        [("p", {}, ["a"]), ("ul", {}, [("li", {}, ["b"])])],
        id="a paragraph before a list",
    ),
    pytest.param(
        "<p><button><div>a</div></button>b",
        [("p", {}, [("button", {}, [("div", {}, ["a"])]), "b"])],
        id="not a paragraph around a button",
    ),
    pytest.param(
        "<div><b><i>a</div>b", [("div", {}, [("b", {}, [("i", {}, ["a"])])]), "b"], id="all inside"
    ),
    pytest.param("<div>a</b>c</div>", [("div", {}, ["ac"])], id="not of what never began"),
    pytest.param("<div/>a", [("div", {}, ["a"])], id="not by a closing slash"),
    pytest.param("<svg><g/>a</svg>", [("svg", {}, [("g", {}, []), "a"])], id="by one in an SVG"),
]


@pytest.mark.parametrize(("text", "found"), LEFT_OUT)
def test_elements_end_where_their_end_tag_may_be_left_out(text, found):
    assert children(text) == found


@pytest.mark.parametrize("name", INLINE.split())
def test_white_space_beside_inline_elements_is_visible(name):
    void = name in {"img", "input", "wbr"}
    inside = f"<{name}>" if void else f"<{name}>b</{name}>"

    (paragraph,) = children(f"<div> a {inside} c </div>")

    assert paragraph[2] == ["a ", (name, {}, [] if void else ["b"]), " c"]


def test_white_space_beside_blocks_is_invisible_but_not_that_of_a_pre():
    text = "<div> <hr> <pre> <b> </b></pre> \u00a0 </div>"

    assert children(text) == [
        ("div", {}, [("hr", {}, []), ("pre", {}, [" ", ("b", {}, [" "])]), "\u00a0"])
    ]


@pytest.mark.parametrize("mark", ["<!--", "<!x", "<?x", "</x ", "<x ", '<x y="', "<script>"])
def test_a_page_whose_markup_never_ends_is_none(mark):
    with pytest.raises(ValueError, match="never ends"):
        split_html_tokens(f"<p>{mark * MAX_UNCLOSED}")


def test_a_page_nested_without_end_is_none():
    with pytest.raises(TooDeep):
        parse_html_pair("<i>" * 200, "<i>" * 200 + ".")


def test_a_page_may_be_nested_just_so_deep():
    parse_html("<i>" * MAX_DEPTH)

    with pytest.raises(TooDeep):
        parse_html("<i>" * (MAX_DEPTH + 1))


PIECES = st.sampled_from(
    [
        *("a", "b", " ", "  a ", "\n", "\u00a0", "&amp;", "1 < 2", "a b"),
        *("<p>", "<p class='x y'>", "<p class='y x'>", "<p id=a>", "</p>", "<div>", "</div>"),
        *("<b>", "</b>", "<ul>", "<li>", "</li>", "</ul>", "<br>", "<br/>", "<br class=a>"),
        *("<table>", "<tr>", "<td>", "</table>", "<svg>", "<g/>", "<g x=1 />", "</svg>"),
        *("<!-- x -->", "<!---->", "<!doctype html>", "<!doctype a>", "<!x>", "</3>"),
        *(
            "<script>a</script>",
            "<script>b</script>",
            "<script src=a></script>",
            "<style> c </style>",
        ),
        *(
            "<pre>",
            "</pre>",
            "<textarea>\n a</textarea>",
            "<textarea> b</textarea>",
            "<title>t</title>",
        ),
        *("<input name=a value=1>", "<input name=a value=2>", "<span>", "</span>"),
    ]
)


@st.composite
def two_pages(draw):
    """Two pages that differ in a few pieces."""
    pieces = draw(st.lists(PIECES, max_size=25))
    other = [draw(PIECES) if draw(st.integers(0, 5)) == 0 else each for each in pieces]
    return "".join(pieces), "".join(other)


@settings(max_examples=600, deadline=None)
@given(two_pages())
def test_trees_that_share_parts_are_the_trees_of_either_page(pages):
    assert [data_of(each) for each in parse_html_pair(*pages)] == [
        data_of(parse_html(each)) for each in pages
    ]


def found(control: Element, candidate: Element):
    findings = Findings()
    with contextlib.suppress(EnoughFindings):
        compare_html_trees("html:", control, candidate, findings)
    return [
        (each.kind, each.path, str(each.control), str(each.candidate)) for each in findings.kept
    ]


@settings(max_examples=300, deadline=None)
@given(two_pages())
def test_trees_that_share_parts_differ_where_others_do(pages):
    apart = [parse_html(each) for each in pages]

    assert found(*parse_html_pair(*pages)) == found(*apart)
    assert bool(found(*apart)) == (data_of(apart[0]) != data_of(apart[1]))


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(("<script>a</script>", "<script>b</script>"), id="a script"),
        pytest.param(("<p>a</p>", "<p class=x>b</p>"), id="a text and an attribute"),
        pytest.param(("<p>a</p>", "<p>&lt;</p>"), id="a reference"),
        pytest.param(("<p>a</p>", "<div>a</div>"), id="an element"),
        pytest.param(("<!doctype a>x", "<!doctype b>x"), id="a document type"),
    ],
)
def test_what_differs_is_not_taken_from_the_other_page(pages):
    pair = parse_html_pair(*pages)

    assert [data_of(each) for each in pair] == [data_of(parse_html(each)) for each in pages]
    assert data_of(pair[0]) != data_of(pair[1])
    assert found(*pair)


def found_in(*pages):
    return found(*map(parse_html, pages))


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        pytest.param("<p class='b a b'>", {"class": "a b"}, id="classes, one of them twice"),
        pytest.param("<link rel='icon alternate'>", {"rel": "alternate icon"}, id="link types"),
        pytest.param("<p title='b a'>", {"title": "b a"}, id="but not of words"),
    ],
)
def test_the_order_of_some_values_has_no_meaning(text, attributes):
    assert children(text)[0][1] == attributes


def test_the_order_of_attributes_has_no_meaning_when_children_move():
    moved = found_in("<b x=1 y=2>a</b><i>c</i>", "<i>c</i><b y=2 x=1>a</b>")

    assert [kind for kind, *_ in moved] == ["order"]


def test_children_that_move_and_change_are_more_than_another_order():
    moved = found_in("<b x=1>a</b><i>c</i>", "<i>c</i><b x=2>a</b>")

    assert {kind for kind, *_ in moved} != {"order"}


def test_fields_in_another_order_are_compared_with_their_own():
    first, second = "<input name=a value=1>", "<input name=b value={}>"

    moved = found_in(f"<form>{first}{second.format(2)}", f"<form>{second.format(3)}{first}")

    assert [each[:2] for each in moved] == [
        ("order", "html:/form"),
        ("value", "html:/form/input[2]/@value"),
    ]


def test_fields_beside_something_missing_are_compared_in_order():
    form = "<form><input name=a><input name=b>"

    moved = found_in(f"{form}<p>x</p>", "<form><input name=b><input name=a>")

    assert "order" not in {kind for kind, *_ in moved}


def test_a_path_has_its_greatest_length():
    (path,) = child_paths("x" * MAX_PATH, ["a"])

    assert len(path) == MAX_PATH


def test_what_two_pages_share_is_built_once():
    page = "<div><ul><li>a<li>b</ul><p>{}</p></div>"

    first, second = parse_html_pair(page.format(1), page.format(2))

    lists = [each.children[0].children[0] for each in (first, second)]
    assert lists[0] is lists[1]
