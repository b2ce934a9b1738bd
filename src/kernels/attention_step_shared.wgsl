// Attention of one row over the cache, in splits, by workgroups: for GPUs. Split i has the keys 64 i to 64 i + 63 of
// every 64 · SPLITS. out, per head and split: as attention_step.wgsl.   Shapes and bindings: as attention_step.wgsl.
// Grid: (SPLITS, heads). 64 invocations share a split. LANES of them read a key or a value together, 16 bytes each, so
//   that neighbours read neighbouring bytes. For every 64 keys: products of the parts of q and k, their sums by an
//   invocation per key, the largest score, the weights, and then the weighted values.
// Bytes moved: K and V heads / kv_heads times.   Workgroup memory: 256 · (LANES + 3) + 1024 · OWN bytes, at most 11 KiB;
//   three barriers per 64 keys.   Bank conflicts: none of reads.
// Limits: D a multiple of 4, at most 128 · OWN.
// Twin: attention_step::reference.   Joined with: call, cache, kept_scores or no_scores.   Source: arXiv 2205.14135; "Flash-Decoding", 2023
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;
const SPLITS: u32 = 16u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const LEAST: f32 = -3.0e38;
const KEYS: u32 = 64u;
const WIDE: bool = CACHE_F16 == 1u && HEAD_SIZE % 8u == 0u; // 16 bytes are two parts of a head, else one is read
const OWN: u32 = 1u + u32(WIDE);
const LANES: u32 = HEAD_PARTS / OWN;
const GROUPS: u32 = KEYS / LANES; // of keys that are read at the same time

var<workgroup> products: array<f32, KEYS * (LANES + 1u)>;
var<workgroup> scores: array<vec4<f32>, KEYS / 4u>;
var<workgroup> weights: array<vec4<f32>, KEYS / 4u>;
var<workgroup> partial: array<vec4<f32>, KEYS * OWN>;

fn unpacked(w: vec4<u32>) -> mat2x4<f32> {
    return mat2x4<f32>(
        vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)),
        vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w)),
    );
}

// Returns OWN parts of the keys from this one on.
fn own_keys(part: u32) -> mat2x4<f32> {
    if (WIDE) { return unpacked(k[part / 2u]); }
    return mat2x4<f32>(keys(part), vec4<f32>(0.0));
}

fn own_values(part: u32) -> mat2x4<f32> {
    if (WIDE) { return unpacked(v[part / 2u]); }
    return mat2x4<f32>(values(part), vec4<f32>(0.0));
}

// Returns four keys. Those past the end repeat the last one, and the softmax ignores their scores.
fn four_keys(first: u32, seen: u32) -> vec4<u32> {
    return min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(seen - 1u));
}

fn largest(a: vec4<f32>) -> f32 { return max(max(a.x, a.y), max(a.z, a.w)); }

@compute @workgroup_size(KEYS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.y;
    let seen = call.pos + 1u;
    let row = params.kv_heads * HEAD_PARTS;
    let own = OWN * (lane % LANES);
    let first = lane / LANES;
    let at = head / (params.heads / params.kv_heads) * HEAD_PARTS + own;
    let scale = inverseSqrt(f32(HEAD_SIZE));
    let q0 = q[head * HEAD_PARTS + own] * scale;
    let q1 = q[head * HEAD_PARTS + own + OWN - 1u] * scale;
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var most = LEAST;
    var total = 0.0;
    for (var s = KEYS * group.x; s < seen; s += KEYS * SPLITS) {
        for (var i = first; i < KEYS / 4u && first < GROUPS; i += GROUPS) {
            let key = four_keys(s + 4u * i, seen) * row + at;
            let to = 4u * i * (LANES + 1u) + lane % LANES;
            let k0 = own_keys(key.x);
            let k1 = own_keys(key.y);
            let k2 = own_keys(key.z);
            let k3 = own_keys(key.w);
            var y = q0 * mat4x4<f32>(k0[0], k1[0], k2[0], k3[0]);
            if (WIDE) { y += q1 * mat4x4<f32>(k0[1], k1[1], k2[1], k3[1]); }
            products[to] = y.x;
            products[to + LANES + 1u] = y.y;
            products[to + 2u * (LANES + 1u)] = y.z;
            products[to + 3u * (LANES + 1u)] = y.w;
        }
        workgroupBarrier();
        var score = 0.0;
        for (var i = 0u; i < LANES; i++) { score += products[lane * (LANES + 1u) + i]; }
        score = select(LEAST, score, s + lane < seen);
        keep_score(head, s + lane, score);
        scores[lane / 4u][lane % 4u] = score;
        workgroupBarrier();
        var now = vec4<f32>(most);
        for (var i = 0u; i < KEYS / 4u; i++) { now = max(now, scores[i]); }
        let shrink = exp(most - largest(now));
        most = largest(now);
        let weight = exp(score - most);
        total = total * shrink + weight;
        weights[lane / 4u][lane % 4u] = weight;
        workgroupBarrier();
        sum0 *= shrink;
        sum1 *= shrink;
        for (var i = first; i < KEYS / 4u && first < GROUPS; i += GROUPS) {
            let key = four_keys(s + 4u * i, seen) * row + at;
            let v0 = own_values(key.x);
            let v1 = own_values(key.y);
            let v2 = own_values(key.z);
            let v3 = own_values(key.w);
            let w = weights[i];
            sum0 += v0[0] * w.x + v1[0] * w.y + v2[0] * w.z + v3[0] * w.w;
            if (WIDE) { sum1 += v0[1] * w.x + v1[1] * w.y + v2[1] * w.z + v3[1] * w.w; }
        }
    }
    partial[OWN * lane] = sum0;
    if (WIDE) { partial[OWN * lane + 1u] = sum1; }
    scores[lane / 4u][lane % 4u] = total;
    workgroupBarrier();
    let to = (head * SPLITS + group.x) * (HEAD_PARTS + 1u);
    for (var i = lane; i < HEAD_PARTS; i += KEYS) {
        var sum = partial[i];
        for (var j = 1u; j < GROUPS; j++) { sum += partial[j * HEAD_PARTS + i]; }
        out[to + i] = sum;
    }
    if (lane == 0u) {
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < KEYS / 4u; i++) { sum += scores[i]; }
        out[to + HEAD_PARTS] = vec4<f32>(most, dot(sum, vec4<f32>(1.0)), 0.0, 0.0);
    }
}
