use super::*;
use rand::SeedableRng;

fn params() -> Params {
    let (mut params, mut rng) = (Params::new(Device::flex()), ChaCha8Rng::seed_from_u64(1));
    for (name, shape) in [("a.weight", [3, 5]), ("b.bias", [1, 5]), ("c.weight", [4, 2]), ("d.embed", [7, 3])] {
        params.normal(name.to_owned(), shape, 1.0, &mut rng);
    }
    params
}

/// Takes a step on random gradients, of all parameters but `without`.
fn step(params: &mut Params, seed: u64, without: &str) -> f32 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut gradients = Params::new(Device::flex());
    for (name, shape) in params.shapes() {
        gradients.normal(name.to_owned(), shape, 0.1, &mut rng);
    }
    gradients.remove(without);
    params.step_with(vec![gradients.tensors], &AdamRule { decay: 0.1, beta_2: 0.99, share: 1.0 }, |name| {
        if name.starts_with('c') { 1e-2 } else { 1e-1 }
    })
}

/// Packs of any size, a parameter without gradient in between, and a checkpoint in the middle of a run.
#[test]
fn packed_parameters_take_the_steps_of_single_ones() {
    let path = std::env::temp_dir().join(format!("llava-web-packs-{}", std::process::id()));
    for below in [9, 16, 1000] {
        let [mut single, mut packed] = [params(), params()];
        packed.pack_below(below);
        for (i, without) in ["", "", "b.bias", "", "", ""].into_iter().enumerate() {
            let [a, b] = [&mut single, &mut packed].map(|params| step(params, i as u64, without));
            assert!((a - b).abs() < 1e-5 * a, "{a} {b}");
            // `b` and `d` make one pack until `b` has taken a step less.
            assert_eq!(packed.packs.is_empty(), i > 2 && below > 16, "{below} {i}");
            if i == 3 {
                packed.save(&path, "", |_| true).unwrap_or_else(|e| panic!("{e}"));
                packed = params();
                packed.pack_below(below);
                packed.load(&path).unwrap_or_else(|e| panic!("{e}"));
            }
        }
        for ((name, _, a), (_, _, b)) in single.values().zip(packed.values()) {
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{below} {name}: {a:?} {b:?}");
        }
    }
    std::fs::remove_file(&path).ok();
}
