//! The design, enforced: layers, words, links, budgets, what lies at the top, what the page may not do.
//!
//! Every rule is a function from text to complaints, and every rule is tested to complain: a rule that finds
//! nothing anywhere proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, lowest first (design, section 4). A module imports its own or lower layers.
const LAYERS: [(u8, &[&str]); 6] = [
    (0, &["error", "config"]),
    (1, &["preprocess", "prompt", "tokenizer", "quant", "format"]),
    (2, &["gpu", "cpu", "device", "pass", "kernels", "tuning"]),
    (3, &["model"]),
    (4, &["engine", "measure"]),
    (5, &["web", "native", "scenes", "train", "bin", "serve", "grammar", "benchmark", "isa", "docs"]),
];
/// Macros that `error.rs` exports at the root of the crate.
const ROOT_MACROS: [&str; 2] = ["ensure", "fail"];
/// What bytes-in-events-out code has no business with.
const OUTSIDE_WORLD: [&str; 12] = [
    "std::fs",
    "std::net",
    "std::time",
    "std::thread",
    "std::env",
    "std::io::stdin",
    "std::process",
    "println!",
    "print!",
    "dbg!",
    "rand::",
    "getrandom",
];
/// Crates and attributes, and the only files that may name them.
const PRIVILEGES: [(&[&str], &[&str]); 3] = [
    (
        &["wasm_bindgen", "web_sys", "js_sys"],
        &["web.rs", "web/", "gpu.rs", "benchmark/web.rs", "grammar/web.rs", "train/web.rs"],
    ),
    (&["burn::"], &["train/", "bin/train.rs"]),
    (
        &["target_arch", "target_os", "target_family", "cfg(unix", "cfg(windows"],
        &[
            "lib.rs",
            "gpu.rs",
            "cpu/simd/",
            "cpu/huge_pages.rs",
            "web.rs",
            "web/",
            "benchmark/lib.rs",
            "grammar/",
            "isa/intel_kernel.rs",
        ],
    ),
];
/// Pieces of Hugging Face's keys, and the only files whose strings may hold them.
const KEYS: [&str; 8] = [
    "vision_tower.",
    "language_model.",
    "multi_modal_projector",
    "self_attn.",
    "mlp.fc",
    "embed_tokens",
    "lm_head",
    "_layernorm.",
];
const KEY_FILES: [&str; 4] = ["format/", "native/synthetic/", "train/", "bin/"];
/// Files that only tests compile, as a whole.
const TEST_FILES: [&str; 2] = ["/tests.rs", "kernels/harness.rs"];
/// All that may lie at the top, besides dotfiles and what git ignores.
const TOP: [&str; 8] = ["Cargo.toml", "Cargo.lock", "src", "www", "tests", "build.sh", "README.md", "LICENSE"];
/// Longest files and functions, lines.
const RUST_FILE: usize = 400;
const RUST_FUNCTION: usize = 70;
const WEB_FILE: usize = 200;
const JS_FILE: usize = 200;

/// Words and phrases that do not come back, in code, comments and pages (design, section 7), with what to write instead.
const FORBIDDEN_WORDS: [(&str, &str); 13] = [
    ("so many", "name the quantity"),
    ("what is there", "name it"),
    ("nobody", "name the part that does not"),
    ("somebody", "name the part that does"),
    ("whoever", "name the caller"),
    ("is to be had", "is available"),
    ("hiccup", "retryable error"),
    ("take_in", "encode_image"),
    ("read ahead", "prefill"),
    ("fn settle", "wait_idle"),
    ("fn blame", "explain"),
    ("struct team", "thread pool"),
    ("trait team", "thread pool"),
];
/// Files that list words for another purpose: this one, and English contractions.
const WORD_LISTS: [&str; 2] = ["tests/tidy.rs", "src/benchmark/vqa_text.rs"];
/// Longest line of a page, in characters; rows of tables and lines of code blocks are exempt.
const PAGE_LINE: usize = 120;

/// `source` with comments blanked, and strings too unless `keep_strings`; lines stay where they are.
fn code(source: &str, keep_strings: bool) -> String {
    let chars: Vec<char> = source.chars().collect();
    let (mut out, mut i) = (String::with_capacity(source.len()), 0);
    let starts = |i: usize, text: &str| text.chars().enumerate().all(|(k, c)| chars.get(i + k) == Some(&c));
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    while i < chars.len() {
        let end = if starts(i, "//") {
            (i..chars.len()).find(|&k| chars[k] == '\n').unwrap_or(chars.len())
        } else if starts(i, "/*") {
            (i + 2..chars.len()).find(|&k| starts(k, "*/")).map_or(chars.len(), |k| k + 2)
        } else if chars[i] == '"' || starts(i, "r\"") || starts(i, "r#\"") {
            let raw = chars[i] == 'r';
            let close = if starts(i, "r#\"") { "\"#" } else { "\"" };
            let mut k = i + 1 + if raw { close.len() } else { 0 };
            while k < chars.len() && !starts(k, close) {
                k += if !raw && chars[k] == '\\' { 2 } else { 1 };
            }
            let end = (k + close.len()).min(chars.len());
            if keep_strings {
                out.extend(&chars[i..end]);
                i = end;
                continue;
            }
            end
        } else if starts(i, "'\"'") || starts(i, "'{'") || starts(i, "'}'") {
            i + 3
        } else if starts(i, "'\\") {
            (i + 3..chars.len()).find(|&k| chars[k] == '\'').map_or(chars.len(), |k| k + 1)
        } else {
            out.push(chars[i]);
            i += 1;
            continue;
        };
        out.extend(chars[i..end].iter().map(|&c| blank(c)));
        i = end;
    }
    out
}

/// What is inside the string literals of `source`, and blanks elsewhere. The tests at its end are left out.
fn strings(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod").next().unwrap_or(source);
    let (with, without) = (code(source, true), code(source, false));
    with.chars().zip(without.chars()).map(|(c, blanked)| if c == blanked { ' ' } else { c }).collect()
}

/// The end of the block that opens at or after `from` in `text` (blanked code).
fn block_end(text: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (i, c) in text[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return from + i + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return from + i + 1,
            _ => {}
        }
    }
    text.len()
}

/// `text` without what only tests compile.
fn without_tests(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.find("#[cfg(test)]") {
        let end = block_end(&text, at);
        let blank: String = text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        text.replace_range(at..end, &blank);
    }
    text
}

fn layer_of(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

/// The first segment of every path that starts at the crate's root.
fn imports(text: &str, depth: usize) -> Vec<String> {
    let ident = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let to_root = "super::".repeat(depth.max(1));
    let mut found = Vec::new();
    for root in ["crate::", &to_root] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let rest = &text[at + root.len()..];
            if rest.starts_with("super::") {
                continue;
            }
            match rest.strip_prefix('{') {
                None => found.push(ident(rest)),
                Some(group) => {
                    let mut depth = 0;
                    let mut start = true;
                    for (i, c) in group.char_indices() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => start = true,
                            c if start && !c.is_whitespace() => {
                                found.push(ident(&group[i..]));
                                start = false;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    found
}

/// Complaints about the layers and words of one file; `path` is relative to `src/`.
fn check_layers(path: &str, source: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let text = without_tests(&code(source, false));
    let module = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let test_file = TEST_FILES.iter().any(|file| path.ends_with(file));
    if module != "lib" {
        let Some(own) = layer_of(module) else {
            return vec![format!("{path}: `{module}` is in no layer: give it one in tests/tidy.rs and the design")];
        };
        let depth = path.trim_end_matches("/mod.rs").matches('/').count() + 1;
        for import in imports(&text, depth) {
            let layer = layer_of(&import).or(ROOT_MACROS.contains(&import.as_str()).then_some(0));
            match layer {
                Some(layer) if layer > own => {
                    complaints.push(format!("{path}: layer {own} imports `{import}` of layer {layer}"))
                }
                _ => {}
            }
        }
        if own < 5 && !test_file {
            let words = OUTSIDE_WORLD.iter().filter(|word| has_word(&text, word));
            complaints.extend(words.map(|word| format!("{path}: `{word}` below layer 5")));
        }
    }
    for (words, files) in PRIVILEGES {
        if files.iter().any(|file| path == *file || file.ends_with('/') && path.starts_with(file)) {
            continue;
        }
        let words = words.iter().filter(|word| has_word(&text, word));
        complaints.extend(words.map(|word| format!("{path}: `{word}` belongs in {}", files.join(", "))));
    }
    if !KEY_FILES.iter().any(|file| path == *file || file.ends_with('/') && path.starts_with(file)) && !test_file {
        let strings = strings(source);
        let keys = KEYS.iter().filter(|key| strings.contains(**key));
        complaints.extend(keys.map(|key| format!("{path}: the key `{key}` belongs in {}", KEY_FILES.join(", "))));
    }
    complaints
}

/// The circles of imports among the modules at the root: each as the modules that reach one another. `files` are
/// (path relative to `src/`, text).
fn circles(files: &[(String, String)]) -> Vec<String> {
    let module = |path: &str| path.split('/').next().unwrap_or(path).trim_end_matches(".rs").to_owned();
    let mut edges: BTreeSet<(String, String)> = BTreeSet::new();
    let is_test = |path: &str| TEST_FILES.iter().any(|file| path.ends_with(file));
    let counts = |path: &str| path != "lib.rs" && !path.starts_with("bin/") && !is_test(path);
    for (path, source) in files.iter().filter(|(path, _)| counts(path)) {
        let depth = path.trim_end_matches("/mod.rs").matches('/').count() + 1;
        let imported = imports(&without_tests(&code(source, false)), depth).into_iter();
        edges.extend(imported.filter(|to| layer_of(to).is_some()).map(|to| (module(path), to)));
    }
    edges.retain(|(from, to)| from != to);
    // Whatever is reached in any number of steps.
    loop {
        let two_steps = |(a, b): &(String, String)| {
            edges.iter().filter(|(from, _)| from == b).map(|(_, to)| (a.clone(), to.clone())).collect::<Vec<_>>()
        };
        let longer: Vec<_> = edges.iter().flat_map(two_steps).filter(|edge| !edges.contains(edge)).collect();
        if longer.is_empty() {
            break;
        }
        edges.extend(longer);
    }
    let both = |(a, b): &&(String, String)| a < b && edges.contains(&(b.clone(), a.clone()));
    edges
        .iter()
        .filter(both)
        .map(|(a, b)| format!("{a} and {b} import each other, directly or through others"))
        .collect()
}

/// `word` where no identifier continues to its left.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_'))
}

/// Whether the file gives a reason for being longer than others, near its top.
fn excused(source: &str) -> bool {
    source.lines().take(12).any(|line| line.trim_start_matches(['/', '!', ' ']).starts_with("budget:"))
}

/// Complaints about the length of a file and of its functions.
fn check_budget(path: &str, source: &str, file_lines: usize) -> Vec<String> {
    if excused(source) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let lines = source.lines().count();
    if lines > file_lines {
        complaints.push(format!("{path}: {lines} lines; {file_lines} are allowed without a `budget:` line at the top"));
    }
    if path.ends_with(".rs") {
        let text = code(source, false);
        for (at, _) in text.match_indices("fn ") {
            if text[..at].chars().next_back().is_some_and(|c| !c.is_whitespace()) {
                continue;
            }
            let lines = text[at..block_end(&text, at)].lines().count();
            let name: String = text[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if lines > RUST_FUNCTION && !name.is_empty() {
                complaints.push(format!("{path}: fn {name} has {lines} lines; {RUST_FUNCTION} are allowed"));
            }
        }
    }
    complaints
}

/// Complaints about what the security policy and good manners forbid a page's file.
fn check_page(path: &str, source: &str) -> Vec<String> {
    let forbidden: &[&str] = match path.rsplit('.').next() {
        Some("js") => &[
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "https://",
            "http://",
        ],
        Some("html") => &["style=", "<style", "onclick=", "onload=", "onerror=", "javascript:", "https://", "http://"],
        Some("css") => &["@import", "https://", "http://"],
        _ => &[],
    };
    // In Firefox a worker that makes another may wait for ever (docs/browsers.md).
    let nested: &[&str] = if path.contains("worker/") { &["new Worker("] } else { &[] };
    let found = forbidden.iter().chain(nested).filter(|word| source.contains(**word));
    found.map(|word| format!("{path}: `{word}`")).collect()
}

/// What the page may import besides its own files: the package that others use, too, and helpers of promises and storage.
const PAGE_IMPORTS: [&str; 3] = ["../llava/index.js", "../shared/async.js", "../shared/local-store.js"];

/// Complaints about imports of the page that reach past the package's surface. Types are exempt: they are in comments.
fn check_page_imports(path: &str, source: &str) -> Vec<String> {
    if !path.contains("page/") {
        return Vec::new();
    }
    let imports = source.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    let named = imports.filter_map(|line| line.split_once("from \"").or_else(|| line.split_once("import(\"")));
    let outside = named.filter_map(|(_, rest)| rest.split('"').next()).filter(|name| name.starts_with("../"));
    let found = outside.filter(|name| !PAGE_IMPORTS.contains(name));
    found
        .map(|name| format!("{path}: imports `{name}`: the page uses www/llava/index.js like any other page"))
        .collect()
}

/// Complaints about lock files that name the host they were made with.
fn check_lock(path: &str, source: &str) -> Vec<String> {
    let standard = ["registry+https://github.com/rust-lang/crates.io-index"];
    let lines = source.lines().filter(|line| line.contains("://") && !standard.iter().any(|host| line.contains(host)));
    lines.map(|line| format!("{path}: names a host: {}", line.trim())).collect()
}

/// Complaints about words that the project does not use. This file lists them and is exempt.
fn check_words(path: &str, source: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let line = line.to_lowercase();
        let whole = |word: &str| {
            let ends = |at: usize| !line[at + word.len()..].starts_with(|c: char| c.is_alphanumeric());
            has_word(&line, word) && line.match_indices(word).any(|(at, _)| ends(at))
        };
        let found = FORBIDDEN_WORDS.iter().filter(|(word, _)| whole(word));
        complaints.extend(found.map(|(word, instead)| format!("{path}:{}: `{word}`: {instead}", number + 1)));
    }
    complaints
}

/// Complaints about lines of a page that are too long to read on a code host.
fn check_page_lines(path: &str, source: &str) -> Vec<String> {
    let mut in_code = false;
    let mut complaints = Vec::new();
    for (number, line) in source.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        let length = line.chars().count();
        if length > PAGE_LINE && !in_code && !line.starts_with('|') && !line.starts_with("![") {
            complaints.push(format!("{path}:{}: {length} characters; {PAGE_LINE} are allowed", number + 1));
        }
    }
    complaints
}

/// The path that a link of a page points to, relative to the page: inline links and reference definitions.
fn link_targets(source: &str) -> Vec<&str> {
    let inline = source.match_indices("](").filter_map(|(at, _)| source[at + 2..].split(')').next());
    let definition = |line: &'_ str| -> Option<usize> { line.starts_with('[').then(|| line.find("]: "))? };
    let defined = source.lines().filter_map(|line| definition(line).map(|at| line[at + 3..].trim()));
    inline.chain(defined).filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

/// Complaints about links of a page to files that do not exist, or that only rustdoc could follow.
fn check_links(path: &Path, source: &str) -> Vec<String> {
    let folder = path.parent().expect("a file lies in a folder");
    let name = path.strip_prefix(root()).unwrap_or(path).display();
    let targets = link_targets(source).into_iter();
    let dead = targets.filter(|target| !folder.join(target.split('#').next().unwrap_or(target)).exists());
    dead.map(|target| format!("{name}: links to `{target}`, which does not exist")).collect()
}

/// Complaints about comments that cite a file of this repository that does not exist. A path is cited by its folder (`src/`,
/// `www/`, `tests/`, `docs/`, `page/`, `worker/`, `shared/`) and an ending.
fn check_citations(path: &str, source: &str) -> Vec<String> {
    const ENDINGS: [&str; 9] = [".rs", ".js", ".mjs", ".md", ".wgsl", ".py", ".sh", ".html", ".json"];
    let cited = |line: &str| -> Vec<String> {
        let comment = line.trim_start();
        if !["//", "*", "/*", "#"].iter().any(|mark| comment.starts_with(mark)) {
            return Vec::new();
        }
        let words = comment.split(|c: char| !(c.is_alphanumeric() || "./_-".contains(c)));
        let path_like = |word: &&str| {
            let roots =
                ["src/", "www/", "tests/", "docs/", "page/", "worker/", "shared/", "kernels/", "model/", "engine/"];
            roots.iter().any(|root| word.starts_with(root)) && ENDINGS.iter().any(|end| word.ends_with(end))
        };
        words
            .map(|word| word.trim_end_matches('.'))
            .filter(path_like)
            .filter(|word| !word.contains("NAME"))
            .map(str::to_owned)
            .collect()
    };
    let exists = |cited: &str| {
        ["", "src/", "src/kernels/", "www/", "tests/"].iter().any(|base| root().join(base).join(cited).exists())
    };
    let mut complaints = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let dead = cited(line).into_iter().filter(|cited| !exists(cited));
        complaints.extend(dead.map(|cited| format!("{path}:{}: cites `{cited}`, which does not exist", number + 1)));
    }
    complaints
}

/// Every file under `folder` whose name ends so, as (path relative to `folder`, text).
fn files(folder: &Path, ends: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["pkg", "node_modules", "vendor"].contains(&name.as_str()) {
                folders.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                let relative = path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
                found.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{} holds nothing to check", folder.display());
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_keep_to_their_layers() {
    none(files(&root().join("src"), &[".rs"]).iter().flat_map(|(path, text)| check_layers(path, text)).collect());
}

#[test]
fn modules_import_each_other_in_no_circle() {
    none(circles(&files(&root().join("src"), &[".rs"])));
}

#[test]
fn files_and_functions_keep_to_their_budgets() {
    let rust = files(&root().join("src"), &[".rs"]);
    let rust = rust
        .iter()
        .flat_map(|(path, text)| check_budget(path, text, if path.starts_with("web") { WEB_FILE } else { RUST_FILE }));
    let js = files(&root().join("www"), &[".js"]);
    none(rust.chain(js.iter().flat_map(|(path, text)| check_budget(path, text, JS_FILE))).collect());
}

#[test]
fn the_page_keeps_to_its_policy() {
    none(files(&root().join("www"), &[".js", ".html", ".css"]).iter().flat_map(|(p, t)| check_page(p, t)).collect());
}

#[test]
fn the_page_uses_the_package_as_any_other_page_does() {
    none(files(&root().join("www"), &[".js"]).iter().flat_map(|(p, t)| check_page_imports(p, t)).collect());
}

#[test]
fn lock_files_name_no_other_host() {
    let locks = ["Cargo.lock", "tests/fuzz/Cargo.lock", "tests/browser/package-lock.json"];
    none(locks.iter().flat_map(|path| check_lock(path, &fs::read_to_string(root().join(path)).unwrap())).collect());
}

#[test]
fn prose_uses_no_word_of_the_list() {
    let of = |folder: &str, ends: &[&str]| -> Vec<(String, String)> {
        let name = |(path, text)| (format!("{folder}/{path}"), text);
        files(&root().join(folder), ends).into_iter().map(name).collect()
    };
    let mut all = of("src", &[".rs", ".wgsl", ".md", ".txt"]);
    all.extend(of("www", &[".js", ".html", ".css"]));
    all.extend(of("tests", &[".rs", ".mjs", ".py"]));
    all.push(("README.md".into(), fs::read_to_string(root().join("README.md")).unwrap()));
    all.retain(|(path, _)| !WORD_LISTS.contains(&path.as_str()));
    none(all.iter().flat_map(|(path, text)| [check_words(path, text), check_citations(path, text)].concat()).collect());
}

#[test]
fn pages_are_readable_and_their_links_alive() {
    let mut pages = files(&root().join("src/docs"), &[".md"]);
    pages.iter_mut().for_each(|(path, _)| path.insert_str(0, "src/docs/"));
    pages.push(("README.md".into(), fs::read_to_string(root().join("README.md")).unwrap()));
    let check = |(path, text): &(String, String)| {
        [check_page_lines(path, text), check_links(&root().join(path), text)].concat()
    };
    none(pages.iter().flat_map(check).collect());
}

#[test]
fn nothing_else_lies_at_the_top() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches(['/', '*'])).collect();
    let strange = names.filter(|name| {
        !name.starts_with('.')
            && !name.starts_with("target")
            && !TOP.contains(&name.as_str())
            && !ignored.contains(&name.as_str())
    });
    none(strange.map(|name| format!("`{name}` at the top of the repository")).collect());
}

#[test]
fn every_rule_complains() {
    let layers = |path: &str, source: &str| check_layers(path, source).join("\n");
    assert!(layers("quant/mod.rs", "use crate::model::Model;").contains("layer 1 imports `model`"));
    assert!(layers("kernels/rope.rs", "use crate::{ensure, engine::Event};").contains("imports `engine`"));
    assert!(layers("model/linear.rs", "fn f() { super::super::engine::go() }").contains("imports `engine`"));
    assert!(layers("config.rs", "fn f() { super::web::go() }").contains("imports `web`"));
    assert!(layers("engine/mod.rs", "use std::fs;").contains("`std::fs` below layer 5"));
    assert!(layers("model/mod.rs", "fn f() { println!(\"x\") }").contains("println!"));
    assert!(layers("model/mod.rs", "use js_sys::Date;").contains("js_sys"));
    assert!(layers("engine/mod.rs", "use burn::tensor::Tensor;").contains("burn::"));
    assert!(layers("quant/mod.rs", "#[cfg(target_arch = \"wasm32\")] fn f() {}").contains("target_arch"));
    assert!(layers("model/decoder.rs", "const K: &str = \"language_model.model\";").contains("the key"));
    assert!(layers("novelty.rs", "").contains("in no layer"));
    // And only where it should: comments, strings, tests, own layer, lower layers.
    assert_eq!(layers("engine/mod.rs", "// std::fs\nconst A: &str = \"println!\";\nuse crate::model::Model;"), "");
    assert_eq!(layers("quant/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; use crate::engine::X; }"), "");
    assert_eq!(layers("model/decoder.rs", "fn f(b: B) { b.self_attn.record(b.lm_head) }"), "");
    assert_eq!(layers("model/linear.rs", "use super::attention::A; use crate::kernels::{self, Weight};"), "");

    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let three = [
        file("pass.rs", "use crate::cpu::A;"),
        file("cpu/mod.rs", "use crate::kernels::B;"),
        file("kernels/rope.rs", "use super::super::pass::C;"),
    ];
    assert_eq!(circles(&three).len(), 3, "a circle of three: each pair of them");
    assert!(circles(&three[..2]).is_empty());

    let long = format!("fn long() {{\n{}}}\n", "    x();\n".repeat(RUST_FUNCTION));
    assert!(check_budget("a.rs", &long, 400).join("").contains("fn long has 72 lines"));
    assert!(check_budget("a.js", &"x();\n".repeat(201), JS_FILE).join("").contains("201 lines"));
    assert!(check_budget("a.rs", &format!("//! A table.\n// budget: a table.\n{long}"), 10).is_empty());

    assert!(!check_page("a.js", "x.innerHTML = y;").is_empty());
    assert!(!check_page("a.html", "<p style=\"color:red\">").is_empty());
    assert!(!check_page("www/worker/a.js", "new Worker(b)").is_empty());
    assert!(check_page("www/page/a.js", "new Worker(b)").is_empty());
    assert!(!check_page_imports("page/a.js", "import { a } from \"../shared/threads.js\";").is_empty());
    assert!(!check_page_imports("page/a.js", "import { redraw } from \"../llava/redraw.js\";").is_empty());
    assert!(check_page_imports("page/a.js", "import { LLaVA } from \"../llava/index.js\";").is_empty());
    assert!(check_words("a.rs", "/// Reads so many bytes.")[0].contains("name the quantity"));
    assert!(check_words("a.rs", "pub fn settle() {}").len() == 1 && check_words("a.rs", "fn settled() {}").is_empty());
    assert!(!check_page_lines("a.md", &"x ".repeat(61)).is_empty());
    assert!(check_page_lines("a.md", &format!("| {} |\n```\n{0}\n```", "x".repeat(130))).is_empty());
    let page = root().join("src/docs/a.md");
    assert!(check_links(&page, "[a](mod.rs) [b]\n\n[b]: ../lib.rs\n[c](https://example.org)").is_empty());
    assert!(check_links(&page, "[a](crate::device::Device)")[0].contains("does not exist"));
    assert!(!check_links(&page, "[b]: ../nowhere.rs").is_empty());
    assert!(check_citations("a.rs", "// See src/nowhere.rs.")[0].contains("src/nowhere.rs"));
    assert!(check_citations("a.rs", "// See `src/lib.rs` and docs/speed.md.").is_empty());
    assert!(!check_lock("l", "\"resolved\": \"https://registry.example.org/x.tgz\"").is_empty());
    assert!(check_lock("l", "source = \"registry+https://github.com/rust-lang/crates.io-index\"").is_empty());
}
