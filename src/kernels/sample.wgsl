// token ~ softmax(logits / temperature) restricted to top_k, top_p and min_p; argmax when temperature is 0
// Shapes: logits [V]; ids [≥1]; history [≥step + 1]; counts [V].   Grid: one workgroup of LANES.
// Thresholds: the largest key t with count(key ≥ t) ≥ k, or mass(key ≥ t) ≥ p · mass, built bit by bit.
// Bytes moved: logits, 32 times per threshold (they stay in the cache).   Workgroup memory: 2 KiB.
// Twin: sample::pick.   Joined with: call.   Source of the hash: JCGT 9(3), 2020
struct Params { vocab: u32, p1: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> history: array<u32>;
@group(0) @binding(5) var<storage, read_write> counts: array<u32>;

const LANES: u32 = 256u;
// The logit of an excluded token.
const EXCLUDED: f32 = -1e30;
var<workgroup> partial: array<f32, LANES>;
var<workgroup> partial_id: array<u32, LANES>;

// Returns a key with the order of the floats.
fn key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn pcg(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// Returns the sum over the workgroup, the same in every lane.
fn total(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    partial[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) { sum += partial[i]; }
    return sum;
}

// Returns the count (as f32, exact below 2²⁴) or mass of those of this lane's tokens whose key is at least t.
fn share(t: u32, lane: u32, most: f32, mass: bool) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < params.vocab; i += LANES) {
        let logit = logits[i];
        if (key(logit) >= t) { sum += select(1.0, exp((logit - most) / call.temperature), mass); }
    }
    return sum;
}

fn threshold(target_share: f32, lane: u32, most: f32, mass: bool) -> u32 {
    var t = 0u;
    for (var bit = 0u; bit < 32u; bit++) {
        let candidate = t | (0x80000000u >> bit);
        if (total(share(candidate, lane, most, mass), lane) >= target_share) { t = candidate; }
    }
    return t;
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
    // Argmax, lowest index first; every lane ends with the same answer.
    var most = -3.4e38;
    var best = 0xffffffffu;
    for (var i = lane; i < params.vocab; i += LANES) {
        if (logits[i] > most || best == 0xffffffffu) { most = logits[i]; best = i; }
    }
    partial[lane] = most;
    partial_id[lane] = best;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
        if (partial_id[i] != 0xffffffffu && (partial[i] > most || (partial[i] == most && partial_id[i] < best))) {
            most = partial[i];
            best = partial_id[i];
        }
    }
    if (call.temperature > 0.0) {
        var floor = key(EXCLUDED) + 1u;
        if (call.top_k > 0u) { floor = max(floor, threshold(f32(call.top_k), lane, most, false)); }
        if (call.top_p < 1.0) {
            let kept = total(share(floor, lane, most, true), lane);
            floor = max(floor, threshold(call.top_p * kept, lane, most, true));
        }
        floor = max(floor, key(most - call.max_gap));
        // The draw walks the vocabulary in order: each lane sums a contiguous run, then one lane finds the token.
        let run = (params.vocab + LANES - 1u) / LANES;
        let start = min(lane * run, params.vocab);
        let end = min(start + run, params.vocab);
        var sum = 0.0;
        for (var i = start; i < end; i++) {
            if (key(logits[i]) >= floor) { sum += exp((logits[i] - most) / call.temperature); }
        }
        let mass = total(sum, lane);
        let drawn = f32(pcg(pcg(call.seed) + call.step) >> 8u) / 16777216.0 * mass;
        var before = 0.0;
        for (var i = 0u; i < lane; i++) { before += partial[i]; }
        var token = 0xffffffffu;
        for (var i = start; i < end && token == 0xffffffffu; i++) {
            if (key(logits[i]) >= floor) {
                before += exp((logits[i] - most) / call.temperature);
                if (before > drawn) { token = i; }
            }
        }
        partial_id[lane] = token;
        workgroupBarrier();
        if (lane == 0u) {
            for (var i = 0u; i < LANES; i++) {
                if (partial_id[i] != 0xffffffffu) { best = partial_id[i]; break; }
            }
        }
    }
    if (lane == 0u) {
        ids[0] = best;
        history[call.step] = best;
        counts[best] += 1u;
    }
}
