use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn record(file: &str, bytes: u64) -> Value {
    json!({"file": file, "bytes": bytes, "sha256": "0".repeat(64)})
}

/// A valid manifest: a tensor in two tiles over two shards, one as rows.
fn valid() -> Value {
    json!({
        "format": "llava-web", "version": 1, "name": "test", "prompt_template": "vicuna_v1", "parameters": 3080,
        "files": {"config": record("config.json", 10), "tokenizer": record("tokenizer.json", 20)},
        "shards": [record("a.bin", 1152), record("b.bin", 288)],
        "tensors": [
            {"name": "w", "type": "q4", "layout": "blocks", "shape": [48, 64], "tiles": [
                {"rows": [0, 32], "shard": 0, "offset": 0, "bytes": 1152},
                {"rows": [32, 48], "shard": 1, "offset": 0, "bytes": 576}]},
            {"name": "b", "type": "f32", "layout": "rows", "shape": [2, 4], "tiles": [
                {"rows": [0, 2], "shard": 1, "offset": 768, "bytes": 32}]},
        ],
    })
}

/// [`valid`] with the lengths of its shards set right (they follow from the tiles).
fn fixed() -> Value {
    let mut v = valid();
    v["shards"][1]["bytes"] = json!(800);
    v
}

fn parse(v: &Value) -> Result<Manifest> {
    Manifest::parse(v.to_string().as_bytes())
}

#[test]
fn a_valid_manifest_survives_a_round_trip() {
    let manifest = parse(&fixed()).unwrap();
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    let mut mirrored = fixed();
    mirrored["mirrors"] = json!(["https://example.org/llava/"]);
    let mirrored = parse(&mirrored).unwrap();
    assert_eq!(Manifest::parse(mirrored.to_json().as_bytes()).unwrap().mirrors, ["https://example.org/llava/"]);
}

#[test]
fn each_contradiction_is_refused() {
    assert!(parse(&valid()).is_err(), "a shard longer than its tensors' end");
    let only_tile = json!([{"rows": [0, 32], "shard": 0, "offset": 0, "bytes": 1152}]);
    let cases: [(&str, Value, &str); 26] = [
        ("/format", json!("gguf"), "not a llava-web"),
        ("/version", json!(2), "version 2"),
        ("/prompt_template", json!("alpaca"), "alpaca"),
        ("/files/config/file", json!("../config.json"), "no file name"),
        ("/files/config/file", json!("a/b"), "no file name"),
        ("/files/config/file", json!(".hidden"), "no file name"),
        ("/files/config/file", json!("manifest.json"), "no file name"),
        ("/files/config/file", json!("a.bin"), "twice"),
        ("/files/config/bytes", json!(1 << 21), "allowed"),
        ("/files/config/sha256", json!("0".repeat(63)), "SHA-256"),
        ("/files/config/sha256", json!("A".repeat(64)), "SHA-256"),
        ("/shards", json!([]), "0 shards"),
        ("/tensors/0/name", json!("b"), "twice"),
        ("/tensors/0/shape", json!([48, 60]), "multiple of 32"),
        ("/tensors/0/shape", json!([64, 64]), "off a multiple"),
        ("/tensors/0/tiles/1/rows", json!([33, 48]), "continue at row 32"),
        ("/tensors/0/tiles/0/rows", json!([0, 31]), "multiple of 32"),
        ("/tensors/0/tiles/1/bytes", json!(577), "it has 576"),
        ("/tensors/0/tiles", only_tile, "end at row 32 of 48"),
        ("/tensors/1/type", json!("f16"), "must be f32"),
        ("/tensors/1/tiles/0/offset", json!(512), "ends at 576"),
        ("/tensors/1/tiles/0/offset", json!(u64::MAX - 255), "ends at 576"),
        ("/tensors/1/tiles/0/shard", json!(9), "not there"),
        ("/parameters", json!("many"), "invalid type"),
        ("/shards/0/sha256", json!(7), "invalid type"),
        ("/name", json!("n".repeat(300)), "300 bytes"),
    ];
    for (pointer, value, message) in cases {
        let mut broken = fixed();
        if pointer == "/tensors/1/tiles/0/shard" {
            broken["shards"][1]["bytes"] = json!(576);
        }
        *broken.pointer_mut(pointer).unwrap() = value;
        let error = parse(&broken).expect_err(pointer);
        assert!(error.kind == Kind::Manifest && error.to_string().contains(message), "{pointer}: {error}");
    }
}

#[test]
fn mirrors_are_addresses_of_folders() {
    for mirrors in [json!(["https://example.org/llava"]), json!(["ftp://example.org/"]), json!(vec!["https://a/"; 17])]
    {
        let mut wrong = fixed();
        wrong["mirrors"] = mirrors;
        assert!(parse(&wrong).unwrap_err().place.contains("mirrors"));
    }
}

#[test]
fn a_tile_must_fit_a_binding() {
    let mut big = fixed();
    big["tensors"][0]["shape"] = json!([1 << 20, 4096]);
    big["tensors"][0]["tiles"] =
        json!([{"rows": [0, 1 << 20], "shard": 0, "offset": 0, "bytes": (1u64 << 31) + (1u64 << 28)}]);
    assert!(parse(&big).unwrap_err().message.contains("exceeds 134217728"));
}

#[test]
fn tensors_must_be_those_of_the_config() {
    let config = Config::parse(b"{}", None).unwrap();
    let error = parse(&fixed()).unwrap().match_config(&config).unwrap_err();
    assert!(error.kind == Kind::Tensor && error.place == crate::format::names::PATCH_EMBEDDING, "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }

    /// A valid manifest with some bytes exchanged is refused or still consistent, without panicking.
    #[test]
    fn mutations_do_not_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = fixed().to_string().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(manifest) = Manifest::parse(&bytes) {
            prop_assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
        }
    }

    /// Any number in any numeric field, the extremes included.
    #[test]
    fn numbers_do_not_panic(which in any::<prop::sample::Index>(), n in prop_oneof![any::<u64>(), Just(u64::MAX), 0u64..2000]) {
        let pointers = [
            "/shards/0/bytes", "/tensors/0/shape/0", "/tensors/0/shape/1", "/tensors/0/tiles/0/rows/0",
            "/tensors/0/tiles/1/rows/1", "/tensors/0/tiles/1/shard", "/tensors/1/tiles/0/offset",
            "/tensors/1/tiles/0/bytes", "/tensors/1/shape/1", "/files/tokenizer/bytes",
        ];
        let mut v = fixed();
        *v.pointer_mut(pointers[which.index(pointers.len())]).unwrap() = json!(n);
        let unchanged = v == fixed();
        let harmless = which.index(pointers.len()) == 9 && (1..=MAX_TOKENIZER).contains(&n);
        prop_assert!(parse(&v).is_err() != (unchanged || harmless));
    }
}
