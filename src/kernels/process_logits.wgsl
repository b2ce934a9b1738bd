// out = logits + bias, tokens of prompt and answer divided by the repetition penalty (multiplied where negative),
//       EXCLUDED where the mask forbids, minus frequency · count + presence for tokens of the answer
// Shapes: logits, counts, bias, out [V]; mask [⌈V / 32⌉].   Grid: ⌈V / 64⌉, one invocation per token.
// counts: occurrences in the answer in the low 31 bits; the highest bit is set where the prompt has the token.
// Bytes moved: 12–16 V.   Twin: process_logits::process.   Joined with: call.
// Source: transformers' SequenceBias, RepetitionPenalty and PrefixConstrained processors; OpenAI's penalties.
struct Params { vocab: u32, p1: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> allowed: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// In place of minus infinity, which WGSL does not promise to compute with.
const EXCLUDED: f32 = -1e30;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if (token >= params.vocab) { return; }
    var logit = logits[token];
    var excluded = false;
    if (call.biased == 1u) {
        excluded = bias[token] <= EXCLUDED;
        logit += bias[token];
    }
    let occurrences = counts[token];
    if (occurrences != 0u) {
        logit = select(logit / call.repetition_penalty, logit * call.repetition_penalty, logit < 0.0);
    }
    if (call.masked == 1u) { excluded = excluded || ((allowed[token / 32u] >> (token % 32u)) & 1u) == 0u; }
    let count = occurrences & 0x7fffffffu;
    if (count > 0u) { logit -= call.frequency_penalty * f32(count) + call.presence_penalty; }
    out[token] = select(logit, EXCLUDED, excluded);
}
