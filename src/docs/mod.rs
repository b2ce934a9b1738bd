//! The longer texts, compiled with the code so that a dead link fails the build.
//!
//! A page links with reference definitions at its end, which point to files: they work on a code host. The same labels
//! stand in `links.txt` with the items that they mean; it comes first, so that rustdoc takes those and checks them.

#![allow(rustdoc::invalid_html_tags)]

macro_rules! pages {
    ($($name:ident $file:literal)*) => {
        $(
            #[doc = include_str!("links.txt")]
            #[doc = ""]
            #[doc = include_str!($file)]
            pub mod $name {}
        )*
    };
}

pages! {
    api "api.md"
    architecture "architecture.md"
    attention "attention.md"
    benchmarks "benchmarks.md"
    browsers "browsers.md"
    changelog "changelog.md"
    constraints "constraints.md"
    demos "demos.md"
    families "families.md"
    figures "figures.md"
    format "format.md"
    fuzzing "fuzzing.md"
    hosting "hosting.md"
    isa "isa.md"
    learn "learn.md"
    model_card "model-card.md"
    numerics "numerics.md"
    one_token "one_token.md"
    openai "openai.md"
    package "package.md"
    pictures "pictures.md"
    proof "proof.md"
    size "size.md"
    sources "sources.md"
    speed "speed.md"
    speed_log "speed-log.md"
    training "training.md"
}
