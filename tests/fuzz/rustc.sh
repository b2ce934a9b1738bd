#!/usr/bin/env bash
# RUSTC_WRAPPER of `./build.sh fuzz`: instruments for libFuzzer what reads foreign bytes, and compiles everything
# else (wgpu, naga, tokio …) as it always is. The flags are those of cargo-fuzz without a sanitizer; stable Rust has them.
name= previous=
for argument in "$@"; do
    [ "$previous" = --crate-name ] && name=$argument
    previous=$argument
done
case $name in
    llava_web | llava_web_fuzz | tokenizers | safetensors | serde_json | \
        image | png | zune_jpeg | zune_core | image_webp | gif | weezl | fdeflate | miniz_oxide | zip)
        set -- "$@" --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
        ;;
esac
exec "$@"
