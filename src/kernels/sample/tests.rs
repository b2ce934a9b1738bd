use super::*;
use crate::device::{BackendChoice, Device};
use crate::kernels::harness::{Case, gpu_or_skip};
use crate::kernels::process_logits::{IN_PROMPT, LogitsInputs, process, process_logits};

fn call(temperature: f32, top_k: u32, top_p: f32, seed: u32) -> Call {
    Call { temperature, top_k, top_p, seed, step: seed % 7, ..Call::new(1, 0) }
}

#[test]
fn greedy_takes_the_first_maximum() {
    assert_eq!(pick(&[0.0, 2.0, -1.0, 2.0], &call(0.0, 0, 1.0, 1)), 1);
}

#[test]
fn limits_are_kept_and_frequencies_follow_the_softmax() {
    let logits = [1.0f32, 0.0, 3.0, 2.0, -4.0];
    let mut counts = [0usize; 5];
    for seed in 0..20_000 {
        counts[pick(&logits, &call(1.0, 3, 1.0, seed)) as usize] += 1;
    }
    assert_eq!(counts[1] + counts[4], 0, "top_k 3 keeps 3, 2 and 1");
    let share = |i: usize| counts[i] as f64 / 20_000.0;
    let total = 3f64.exp() + 2f64.exp() + 1f64.exp();
    for (i, l) in [(2, 3f64), (3, 2.0), (0, 1.0)] {
        // Three standard deviations of a binomial share of 20,000 draws.
        assert!((share(i) - l.exp() / total).abs() < 0.011, "{i}: {} {}", share(i), l.exp() / total);
    }
    // 3 alone holds 0.64 of the mass: top_p 0.6 keeps it alone, 0.7 takes the second, too.
    assert!((0..500).all(|seed| pick(&logits, &call(1.0, 0, 0.6, seed)) == 2));
    let kept: Vec<u32> = (0..500).map(|seed| pick(&logits, &call(1.0, 0, 0.7, seed))).collect();
    assert!(kept.contains(&3) && kept.iter().all(|t| *t == 2 || *t == 3));
}

#[test]
fn shader_equals_twin() {
    for vocab in [5u64, 256, 1000, 32064] {
        for seed in 0..6u32 {
            let options = [(0.0, 0, 1.0), (1.0, 0, 1.0), (0.7, 40, 1.0), (1.3, 0, 0.7), (0.2, 5, 0.9), (5.0, 1, 0.5)];
            let (temperature, top_k, top_p) = options[seed as usize];
            let mut case = Case::new(format!("sample V {vocab} seed {seed}"));
            case.call = call(temperature, top_k, top_p, seed * 977 + 3);
            let logits = case.random(vocab, 4.0);
            let (ids, history) = (case.output(1, None), case.output(8, None));
            let zeros = vec![0; vocab as usize * 4];
            let counts = case.bytes(&zeros);
            sample(&mut case.pass, logits, ids, history, counts, vocab as u32);
            // Token ids are integers: equal, or the draw fell within f32 rounding of a boundary (not for these
            // seeds).
            case.check_words();
        }
    }
}

#[test]
fn min_p_and_any_top_k_are_kept() {
    let logits = [2.0f32, 2.0 - 2f32.ln(), 2.0 - 4f32.ln() + 1e-4, 2.0 - 4f32.ln() - 1e-4, -30.0, EXCLUDED];
    let kept = |call: Call| -> Vec<bool> { weights(&logits, 2.0, &call).iter().map(|w| *w > 0.0).collect() };
    // A quarter of the probability of the most likely token, at temperature 1 and at 2.
    for temperature in [1.0, 2.0] {
        let max_gap = temperature * 4f32.ln() / temperature;
        assert_eq!(kept(Call { max_gap, ..call(temperature, 0, 1.0, 0) }), [true, true, true, false, false, false]);
    }
    for top_k in [0, 5, 6, 7, 1 << 30, u32::MAX] {
        assert_eq!(kept(call(1.0, top_k, 1.0, 0)), [true, true, true, true, true, false], "{top_k}");
    }
    // All ties at a threshold are kept.
    let ties = [1.0f32, 0.0, 1.0, 0.0, 0.0];
    for (top_k, top_p, wanted) in [(1, 1.0, 2), (3, 1.0, 5), (0, 0.3, 2), (0, 0.8, 5)] {
        let kept = weights(&ties, 1.0, &call(1.0, top_k, top_p, 0)).iter().filter(|w| **w > 0.0).count();
        assert_eq!(kept, wanted, "{top_k} {top_p}");
    }
}

/// Draws of a call with fixed logits, counts, biases and mask.
struct Draws {
    inputs: [Vec<u32>; 4],
    call: Call,
}

const VOCAB: u32 = 40;
const DRAWS: u32 = 2000;

impl Draws {
    /// Spreads logits over ±4, and marks some tokens as counted, biased, excluded and forbidden.
    fn new(call: Call) -> Self {
        let logits = (0..VOCAB).map(|i| (((i * 17) % VOCAB) as f32 / 5.0 - 4.0).to_bits());
        let counts = (0..VOCAB).map(|i| if i.is_multiple_of(3) { i / 9 } else { IN_PROMPT * (i % 2) });
        let bias = (0..VOCAB).map(|i| [0.0f32, 1.5, -2.0, 0.0, EXCLUDED][i as usize % 5].to_bits());
        Self { inputs: [logits.collect(), counts.collect(), bias.collect(), vec![0xbf7f_dffe, 0x7f]], call }
    }

    /// Returns the drawn tokens and the sampler's own counts of them.
    async fn run(&self, choice: BackendChoice) -> (Vec<u32>, Vec<u32>) {
        let mut device = Device::open(choice).await.unwrap();
        let mut inputs = Vec::new();
        for words in &self.inputs {
            let buffer = device.buffer("input", words.len() as u64).await.unwrap();
            device.upload(buffer, 0, bytemuck::cast_slice(words));
            inputs.push(buffer);
        }
        let [logits, counts, bias, mask] = inputs[..] else { unreachable!() };
        let processed = device.buffer("processed", u64::from(VOCAB)).await.unwrap();
        let (ids, history) =
            (device.buffer("ids", 1).await.unwrap(), device.buffer("history", u64::from(DRAWS)).await.unwrap());
        let counted = device.buffer("counted", u64::from(VOCAB)).await.unwrap();
        let mut pass = device.pass("draws");
        if self.call.processes_logits() {
            process_logits(&mut pass, LogitsInputs { logits, counts, bias, mask }, processed, VOCAB);
        }
        let from = if self.call.processes_logits() { processed } else { logits };
        sample(&mut pass, from, ids, history, counted, VOCAB);
        let pass = device.prepare(pass).await.unwrap();
        for step in 0..DRAWS {
            device.replay(&[pass], &Call { step, ..self.call }).unwrap();
        }
        let drawn = device.read_back(history, 0, DRAWS as usize).await.unwrap();
        (drawn, device.read_back(counted, 0, VOCAB as usize).await.unwrap())
    }

    /// Returns the exact probability of each token.
    fn probabilities(&self) -> Vec<f64> {
        let [logits, counts, bias, mask] = &self.inputs;
        let (logits, bias): (&[f32], &[f32]) = (bytemuck::cast_slice(logits), bytemuck::cast_slice(bias));
        let mut processed = logits.to_vec();
        if self.call.processes_logits() {
            process((logits, counts, bias, mask), &self.call, &mut processed);
        }
        let most = processed.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = weights(&processed, most, &self.call);
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }
}

/// Returns Pearson's statistic and its degrees of freedom. Tokens that are expected less than five times count together.
fn chi_square(drawn: &[u32], probabilities: &[f64]) -> (f64, f64) {
    let (mut bins, mut rest) = (Vec::new(), (0.0, 0.0));
    for (id, probability) in probabilities.iter().enumerate() {
        let found = drawn.iter().filter(|d| **d == id as u32).count() as f64;
        let expected = probability * drawn.len() as f64;
        assert!(expected > 0.0 || found == 0.0, "token {id} has probability 0 and was drawn {found} times");
        if expected >= 5.0 {
            bins.push((found, expected));
        } else {
            rest = (rest.0 + found, rest.1 + expected);
        }
    }
    if rest.1 > 0.0 {
        bins.push(rest);
    }
    (bins.iter().map(|(found, expected)| (found - expected).powi(2) / expected).sum(), bins.len() as f64 - 1.0)
}

/// Mean and standard deviation of the statistic are `n` and `√(2n)` for `n` degrees of freedom.
fn plausible((statistic, n): (f64, f64)) -> bool {
    n >= 1.0 && statistic < n + 4.0 * (2.0 * n).sqrt()
}

fn combinations() -> Vec<Call> {
    let penalised =
        |call: Call| Call { repetition_penalty: 1.4, frequency_penalty: 0.3, presence_penalty: -0.4, ..call };
    vec![
        call(1.0, 0, 1.0, 11),
        call(0.7, 12, 1.0, 12),
        call(1.5, 0, 0.8, 13),
        Call { max_gap: 2.0, ..call(1.0, 0, 1.0, 14) },
        penalised(call(1.0, 0, 1.0, 15)),
        Call { biased: 1, masked: 1, ..call(2.0, 0, 1.0, 16) },
        Call { biased: 1, masked: 1, max_gap: 6.0, ..penalised(call(1.3, 20, 0.95, 17)) },
    ]
}

/// Checks the draws of a device, and returns them for each combination.
async fn checked_draws(choice: BackendChoice) -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    for call in combinations() {
        let draws = Draws::new(call);
        let (drawn, counted) = draws.run(choice).await;
        let found = chi_square(&drawn, &draws.probabilities());
        assert!(plausible(found), "{choice:?} {call:?}: {found:?}");
        for (id, counted) in (0..).zip(counted) {
            assert_eq!(drawn.iter().filter(|d| **d == id).count(), counted as usize, "{choice:?} counts {id}");
        }
        // The same test refuses the distribution of another temperature.
        let other = Draws { call: Call { temperature: call.temperature * 1.3, ..call }, ..draws };
        assert!(!plausible(chi_square_lenient(&drawn, &other.probabilities())), "{choice:?} {call:?}");
        all.push(drawn);
    }
    all
}

/// The statistic without its check for impossible tokens: another distribution may lack some that were drawn.
fn chi_square_lenient(drawn: &[u32], probabilities: &[f64]) -> (f64, f64) {
    let possible = probabilities.iter().map(|p| p.max(1e-9)).collect::<Vec<_>>();
    chi_square(drawn, &possible)
}

#[test]
fn draws_follow_the_probabilities_and_the_gpu_draws_what_the_twin_does() {
    pollster::block_on(async {
        let twin = checked_draws(BackendChoice::Reference).await;
        if !gpu_or_skip() {
            return;
        }
        let gpu = checked_draws(BackendChoice::Gpu).await;
        for ((gpu, twin), call) in gpu.iter().zip(&twin).zip(combinations()) {
            // A draw within f32 rounding of a boundary may differ: some in a million.
            let different = gpu.iter().zip(twin).filter(|(a, b)| a != b).count();
            assert!(different <= 1, "{call:?}: {different} of {DRAWS} draws differ");
        }
    });
}
