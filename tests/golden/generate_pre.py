#!/usr/bin/env python3
"""Ids of mixed-script text for every way of cutting it that src/format/gguf/pre.rs knows -> pre_tokenizers.json.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 regex==2026.11.19
    venv/bin/python tests/golden/generate_pre.py

Nothing of the project is used. The pieces come twice: from the parts that the models' own tokenizer.json has (right), run
by `tokenizers` with Oniguruma, and from the expressions (left), run one after the other by the `regex` package. Both must
be the same pieces. The vocabulary is trained here, on the very texts and across their boundaries, so that a wrong
boundary changes ids.
"""
import json
from pathlib import Path
import regex
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers as pt, trainers

TEXTS = [
    "Hello world, it's 2024: I'll pay $1,234.56 (don't!) for 3½ items.",
    "IT'S WE'LL I'M YOU'RE THEY'VE HE'D it’s x'sx 'S 's",
    "x² + y³ = z⁴, H₂O, ①②③, Ⅷ, ½ ¼",
    "١٢٣٤ ۱۲۳۴ १२३४ ๑๒๓ 123456789 0001 1 12 1234",
    "日本語のテキスト、中文文本。カタカナ ひらがな 한국어 텍스트",
    "中文123英文abc混合，标点！？「引号」～‘单’‟　全角ＡＢＣａｂｃ１２３",
    "😀😃 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ☃️x",
    "  two  spaces   three\ttab\t\ttabs \n newline\n\n\nthree\r\n\r\ncrlf \r cr\u00a0nbsp\u3000ideographic   ",
    "trailing spaces   ",
    "\n\n  \n x",
    "Überraschung ñandú Ελληνικά кириллица ქართული Ꭰꭰ ǅ ᾈ ﬀ İı ΣΊΣΥΦΟΣ",
    "e\u0301 vs é, A\u030a vs Å, 각 vs 각, ﬁ",
    "camelCaseWord HTTPServer iPhone XMLHttpRequest aB Ab AB ab",
    "a+b=c<d>e^f~g|h`i$j#k@l%m&n*o!p?q.r,s;t:u/v\\w_x-y",
    "http://example.com/path?q=1&r=2#frag user@example.org",
    "```python\ndef f(x):\n    return x ** 2  # ok\n```",
    "…«»„“”‚‘’—–·•†‡ ¡¿ ، ؛ ؟ । ॥ 。、",
    "हिन्दी में पाठ, தமிழ், ไทย, עברית, العربية",
    "___init___ --flag=1,2 100% #42 $5 €6 £7 ¥8",
    "don'T DON't can'Re 'Tis l'été d'accord 're 'LL 'll",
    "\u200bzero\u200dwidth\ufeff bom \u0000nul \u0085nel \u2028ls",
    "1a2b3c 4D5E 6²7³ 8٩9",
    "word\n  indented\n\tdeeper\n end   ",
    "/ // /// \n/ \r\n/x !\n ?\r\n",
    "!!! ??? ... ,,, ;;; (((x))) [[y]] {{z}}",
]
# Spelled out from llama.cpp's names; in the order of application.
G = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
L = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
Q = L.replace(r"\p{N}{1,3}", r"\p{N}")
U, W = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O = r"[^\r\n\p{L}\p{N}]?"
C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = rf"{O}{U}*{W}+|{O}{U}+{W}*|\p{{N}}{TAIL}"
GPT4O = rf"{O}{U}*{W}+{C}|{O}{U}+{W}*{C}|\p{{N}}{{1,3}}{TAIL}"
CASED = ("[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
         "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-"
         "\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
         "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
         "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
         "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
         "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
         "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
         "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
         "\U000118a0-\U000118df\U0001e900-\U0001e943]")
HAN = "[一-龥\u0800-一가-\ud7ff]+"
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
split = lambda by: pt.Split(Regex(by), "isolated")
bytes_only = pt.ByteLevel(add_prefix_space=False, use_regex=False)
level = pt.ByteLevel(add_prefix_space=False, use_regex=True)
own = lambda *parts: [*parts, bytes_only]
# name -> expressions, the parts in tokenizer.json, ignore_merges, NFC
KINDS = {
    "llama-bpe": ([L], own(split(L)), True, False),
    "dbrx": ([L], own(split(L)), False, False),
    "qwen2": ([Q], own(split(Q)), False, True),
    "deepseek-r1-qwen": ([Q], own(split(Q)), False, False),
    "smollm": ([r"\p{N}", G], [pt.Digits(individual_digits=True), level], False, False),
    "gpt-2": ([G], [level], False, False),
    "default": ([r"[\p{P}\$\+<=>\^~\|]+", G, r"\p{N}+", "[0-9][0-9][0-9]"], None, False, False),
    # Falcon's own file has [Punctuation, ByteLevel, Digits, Split] by memory only: Digits after ByteLevel sees letters for
    # bytes, some of which are numbers to Unicode. llama.cpp's expressions are what a GGUF file means.
    "falcon": ([r"[\p{P}\$\+<=>\^~\|`]+", G, "[0-9][0-9][0-9]"], None, False, False),
    "tekken": ([TEKKEN], own(split(TEKKEN)), True, False),
    "gpt-4o": ([GPT4O], own(split(GPT4O)), False, False),
    "deepseek-llm": ([r"[\r\n]", rf"\s?{CASED}+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", HAN, r"\p{N}+"],
                     own(split(r"[\r\n]"), split(rf"\s?{CASED}+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                         split(HAN), pt.Digits(individual_digits=False)), False, False),
    "deepseek-coder": ([r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN, r"\p{N}"],
                       own(split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(HAN),
                           pt.Digits(individual_digits=True)), False, False),
    "poro-chat": ([BLOOM], own(split(BLOOM)), False, False),
    "viking": ([BLOOM, r"\p{N}"], own(split(BLOOM), pt.Digits(individual_digits=True)), False, False),
}


def cut(expressions, text):
    """The pieces of `text`: matches and what lies between, by each expression in turn."""
    pieces = [text]
    for expression in expressions:
        compiled, out = regex.compile(expression), []
        for piece in pieces:
            at = 0
            for match in compiled.finditer(piece):
                out += [piece[at:match.start()], match.group()]
                at = match.end()
            out.append(piece[at:])
        pieces = [piece for piece in out if piece]
    return pieces


LETTERS = sorted(pt.ByteLevel.alphabet())
trained = Tokenizer(models.BPE())
trained.pre_tokenizer = bytes_only                    # no boundaries: tokens reach across them
trained.train_from_iterator(TEXTS + [piece for text in TEXTS for piece in cut([G], text)] * 2,
                            trainers.BpeTrainer(vocab_size=800, initial_alphabet=LETTERS, show_progress=False))
model = json.loads(trained.to_str())["model"]
vocabulary = sorted(model["vocab"], key=model["vocab"].get)
merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]


def encoder(parts, ignore_merges, nfc):
    bpe = models.BPE(vocab=model["vocab"], merges=[tuple(m.split(" ")) for m in merges], ignore_merges=ignore_merges)
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.NFC() if nfc else None
    tokenizer.pre_tokenizer = pt.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


cases = {}
for name, (expressions, parts, ignore_merges, nfc) in KINDS.items():
    theirs = encoder(parts or own(*map(split, expressions)), ignore_merges, nfc)
    whole = encoder([bytes_only], ignore_merges, False)
    cases[name] = []
    for text in TEXTS:
        ids = theirs.encode(text, add_special_tokens=False).ids
        composed = normalizers.NFC().normalize_str(text) if nfc else text
        pieces = cut(expressions, composed)
        assert "".join(pieces) == composed
        ours = [id for piece in pieces for id in whole.encode(piece, add_special_tokens=False).ids]
        got = [theirs.decode([i]) for i in ids]
        assert ids == ours, f"{name}: {text!r}\n  tokenizer.json {got}\n  expressions    {[whole.decode([i]) for i in ours]}"
        cases[name].append(ours)
distinct = len({json.dumps(ids) for ids in cases.values()})
print(f"{len(cases)} kinds, {distinct} different, {len(vocabulary)} tokens, {len(merges)} merges")
out = {"texts": TEXTS, "tokens": vocabulary, "merges": merges, "ids": cases}
lines = ",\n".join(f' {json.dumps(k)}: {json.dumps(v, ensure_ascii=True, separators=(",", ":"))}' for k, v in out.items())
(Path(__file__).parent / "pre_tokenizers.json").write_text("{\n" + lines + "\n}\n")
