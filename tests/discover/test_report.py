"""The report page of `nlpkit discover`: what it embeds and escapes, and how a browser runs it."""

import html
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from nlpkit.discover.report import write_report
from nlpkit.records import CorpusStats, Word

STATS = CorpusStats(3000, 1200, 1000, 321, 2, 17, 5)
HOSTILE = [
    "</script><script>document.documentElement.dataset.error = 'ran'</script>",
    "<img src=x onerror=\"document.documentElement.dataset.error='ran'\">",
    "<!--<script>",
    "a\u2028b\u2029c",
    "\"quoted\" \\ 'words'",
    "&amp;&lt;",
    "\x00\r\n\t",
    "𠮷野家",
    "\u202eright to left",
    "{{data}}{{title}}",
]


def word(text: str, count: int = 10, known: bool = False, **figures: float) -> Word:
    values = {"score": 1.5, "cohesion": 4.25, "left_entropy": 1.0, "right_entropy": 2.0} | figures
    contexts = (f"前文{text}后文", f"再{text}")
    return Word(word=text, count=count, known=known, first=7, contexts=contexts, **values)


def many_words(size: int) -> Iterator[Word]:
    for rank in range(1, size + 1):
        text = "新词知识"[rank % 4] + chr(0x4E00 + rank % 20000)
        figures = {
            "score": 9 / rank,
            "cohesion": 2 + rank % 97 / 10,
            "left_entropy": rank % 31 / 10,
        }
        yield word(text, 5 + 60000 // rank, known=rank % 3 == 0, **figures)


def page_of(words: Any, title: str = "标题", stats: CorpusStats = STATS) -> str:
    out = io.StringIO()
    write_report(words, stats, out, title=title)
    return out.getvalue()


def embedded_text(page: str) -> str:
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return found[0]


def embedded_words(page: str) -> list[Word]:
    data = json.loads(embedded_text(page))
    assert data["columns"] == [field.name for field in fields(Word)]
    rows = [row for block in data["blocks"] for row in zip(*block, strict=True)]
    words = [Word(*row) for row in rows]
    return [Word(**{**asdict(w), "known": bool(w.known), "contexts": tuple(w.contexts)}) for w in words]


def test_every_field_of_every_word_can_be_read_back() -> None:
    words = [word("新词", 12, score=0.125), word("词典", 900, known=True, cohesion=0.0)]
    assert embedded_words(page_of(words)) == words


def test_keeps_the_order_over_several_blocks() -> None:
    texts = [w.word for w in embedded_words(page_of(many_words(2500)))]
    assert texts == [w.word for w in many_words(2500)]


def test_takes_words_from_a_generator_while_it_writes() -> None:
    out = io.StringIO()

    def words() -> Iterator[Word]:
        yield from many_words(1000)
        written_before_the_second_block.append(len(out.getvalue()))
        yield from many_words(1000)
        written_before_the_third_block.append(len(out.getvalue()))

    written_before_the_second_block: list[int] = []
    written_before_the_third_block: list[int] = []
    write_report(words(), STATS, out, title="t")
    assert written_before_the_third_block[0] > written_before_the_second_block[0] + 50_000


def test_real_figures_keep_six_significant_digits() -> None:
    [found] = embedded_words(page_of([word("词", score=1234.56789, cohesion=1.23456789e-7)]))
    assert (found.score, found.cohesion) == (1234.57, 1.23457e-7)


def test_corpus_figures_are_embedded() -> None:
    assert json.loads(embedded_text(page_of([])))["corpus"] == asdict(STATS)


def test_hostile_words_come_back_unchanged() -> None:
    assert [w.word for w in embedded_words(page_of(map(word, HOSTILE)))] == HOSTILE


def test_hostile_words_add_no_markup() -> None:
    tame, hostile = page_of([]), page_of(map(word, HOSTILE))
    assert not re.search("[<>&\u2028\u2029]", embedded_text(hostile))
    for character in "<>&":
        assert hostile.count(character) == tame.count(character)


def test_lone_surrogates_do_not_stop_a_utf8_file() -> None:
    page = page_of([word("bad\udcff")], title="name\udcff.txt")
    page.encode("utf-8")
    assert embedded_words(page)[0].word == "bad\udcff"


def test_title_is_text_and_not_markup() -> None:
    page = page_of([word("词")], title='</title><b>"A" & {{data}}')
    assert "</title><b>" not in page
    shown = re.findall(r"<title>(.*?)</title>", page) + re.findall(r"<h1>(.*?)</h1>", page)
    assert [html.unescape(text) for text in shown] == ['</title><b>"A" & {{data}}'] * 2


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_refuses_a_figure_that_is_not_finite(figure: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        page_of([word("词", score=figure)])


def test_page_loads_nothing_from_anywhere() -> None:
    page = page_of([])
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';" in page
    assert not re.search(r"https?:|//\w+\.|\bsrc=|\bhref=|@import|url\(|fetch\(|XMLHttp|import\(", page)


def test_page_never_makes_markup_of_text() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", page_of([]))


def test_both_languages_name_the_same_texts() -> None:
    page = page_of([])
    english, chinese = re.findall(r"^  (?:en|zh): \{\n(.*?)^  \},", page, re.DOTALL | re.MULTILINE)
    keys = [re.findall(r"(?:^|, |,\n)\s*(\w+): \"", text) for text in (english, chinese)]
    assert keys[0] == keys[1]
    assert set(re.findall(r'data-text="(\w+)"', page)) <= set(keys[0])


# A browser test adds this script to the page. It uses the page as a reader would, or through the
# page's own functions, and leaves the list of what failed in an attribute, which --dump-dom shows.
CHECK = """
<script>
const failed = [];
const check = (holds, name) => { if (!holds) failed.push(name); };
const lines = () => [...document.querySelectorAll("#body tr[data-row]")];
const column = place => lines().map(line => line.cells[place].textContent);
const type = (id, value) => {
  byId(id).value = value;
  byId(id).dispatchEvent(new Event("input"));
};
const counts = () => lines().map(line => W.count[line.dataset.row]);
const sorted = (list, sign) => list.every((value, i) => !i || sign * (value - list[i - 1]) >= 0);

check(lines().length > 5 && lines().length < 100, "only the rows in sight are made");
check(byId("table").getAttribute("aria-rowcount") == SIZE + 1, "row count");
for (const chart of [SCATTER, CURVE]) {
  const { width, height } = chart.canvas;
  check(chart.pen.getImageData(0, 0, width, height).data.some(Boolean), "canvas is drawn");
}
type("query", "知");
check(lines().length && column(0).every(text => text.includes("知")), "search");
byId("regex").click();
type("query", "^[新词].$");
check(lines().length && column(0).every(text => "新词".includes(text[0])), "regular expression");
const expected = W.word.filter(text => "新词".includes(text[0])).length;
check(state.view.length === expected, "regular expression finds all");
type("query", "([");
const invalid = byId("query").getAttribute("aria-invalid");
check(!byId("problem").hidden && invalid === "true", "bad expression is told");
byId("regex").click();
type("query", "no such word");
check(!lines().length && !byId("empty").hidden, "no match is told");
type("query", "");
check(state.view.length === SIZE && byId("problem").hidden, "empty search shows all");

const head = name => document.querySelector(`th[data-column="${name}"]`);
for (const name of DATA.columns.slice(0, -1)) {
  head(name).querySelector("button").click();
  const first = head(name).getAttribute("aria-sort");
  const values = () => state.view.map(row => W[name][row]);
  const once = values();
  head(name).querySelector("button").click();
  check(head(name).getAttribute("aria-sort") !== first, "second click reverses " + name);
  check(once[0] === values()[SIZE - 1] && once[SIZE - 1] === values()[0], "order of " + name);
}
head("count").querySelector("button").click();
check(sorted(counts(), -1) && counts()[0] === COUNTS[1], "sorted by falling count");

for (const kind of ["known", "new"]) {
  document.querySelector(`[name=kind][value=${kind}]`).click();
  const isKind = row => W.known[row] === Number(kind === "known");
  check(state.view.length && state.view.every(isKind), kind + " only");
}
document.querySelector("[name=kind][value=all]").click();
type("least", "100");
check(state.least > COUNTS[0] && state.view.length < SIZE, "least count leaves words out");
check(state.view.every(row => W.count[row] >= state.least), "least count");
type("least", "0");
check(state.view.length === SIZE, "least count back at its start");

const row = state.view[SIZE - 1];
const { canvas, tip, x, y } = SCATTER;
const mouse = (type, right, down) => {
  const { left, top } = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent(type, { clientX: left + right, clientY: top + down }));
};
mouse("pointermove", x[row], y[row]);
const hovered = tip.textContent;
check(!tip.hidden && hovered.includes("Count "), "hover shows figures");
mouse("pointerup", x[row], y[row]);
check(hovered.includes(W.word[state.selected]), "a click selects the word that hover shows");
const miss = Math.hypot(x[state.selected] - x[row], y[state.selected] - y[row]);
check(state.selected !== 0 && miss < 2, "a click on a dot selects its word");
select(row);
const chosen = document.querySelector("#body [aria-selected=true]");
check(chosen && Number(chosen.dataset.row) === row, "the table scrolls to the selected word");
check(byId("scroller").getAttribute("aria-activedescendant") === chosen.id, "active row is named");
check(byId("detail-word").textContent === W.word[row], "the selected word is shown");
const marks = [...byId("detail").querySelectorAll("mark")].map(mark => mark.textContent);
check(marks.length > 1 && marks.every(text => text === W.word[row]), "contexts mark the word");
byId("scroller").dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
check(state.selected === state.view[0], "Home selects the first row");
byId("scroller").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
check(state.selected === state.view[1], "arrow down selects the next row");

SCATTER.zoomTo([MARGIN.left, MARGIN.top], [SCATTER.width / 2, SCATTER.height - MARGIN.bottom]);
check(state.view.length && state.view.length < SIZE, "zoom lists the words of its area");
byId("unzoom").click();
check(state.view.length === SIZE && byId("unzoom").hidden, "zoom ends");

const before = language;
byId("language").click();
check(language !== before && document.documentElement.lang === language, "language changes");
const texts = [...document.querySelectorAll("[data-text]")];
const inLanguage = element => element.textContent === TEXT[language][element.dataset.text];
check(texts.every(inLanguage), "every text is in the language");
byId("language").click();
document.documentElement.dataset.failed = JSON.stringify(failed);
</script>
"""


def dump(page: str, folder: Path, language: str = "en-US") -> str:
    """Return the document as it stands after headless Chromium has run the page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium or google-chrome on the path")
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --window-size=1200,900"
    )
    command = [
        browser,
        *flags.split(),
        f"--user-data-dir={folder / 'profile'}",
        f"--lang={language}",
    ]
    done = subprocess.run(
        [*command, f"--accept-lang={language}", "--dump-dom", path.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode("utf-8")


def root_attributes(dom: str) -> dict[str, str]:
    root = re.search(r"<html[^>]*>", dom)
    assert root, "the browser gave no document back"
    return {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="(.*?)"', root[0])}


@pytest.mark.slow
def test_page_works_in_a_browser(tmp_path: Path) -> None:
    page = page_of(many_words(3000)).replace("</body>", CHECK + "</body>")
    attributes = root_attributes(dump(page, tmp_path))
    assert "data-error" not in attributes
    assert attributes["data-ready"] == "3000"
    assert json.loads(attributes["data-failed"]) == []


@pytest.mark.slow
def test_hostile_words_are_shown_as_text_in_a_browser(tmp_path: Path) -> None:
    dom = dump(page_of(map(word, HOSTILE), title=HOSTILE[0]), tmp_path)
    attributes = root_attributes(dom)
    assert "data-error" not in attributes
    assert attributes["data-ready"] == str(len(HOSTILE))
    assert "<img" not in dom
    assert "&lt;img src=x" in dom


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], [word("一")]], ids=["no word", "one word"])
def test_short_lists_make_no_odd_figure_in_a_browser(tmp_path: Path, words: list[Word]) -> None:
    dom = dump(page_of(words), tmp_path)
    attributes = root_attributes(dom)
    assert "data-error" not in attributes
    assert attributes["data-ready"] == str(len(words))
    assert not re.search("∞|NaN", dom)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "text"), [("zh-CN", "1 个词中的 1 个"), ("en-US", "1 of 1 words")])
def test_page_speaks_the_language_of_the_browser(tmp_path: Path, language: str, text: str) -> None:
    assert text in dump(page_of([word("一")]), tmp_path, language)
