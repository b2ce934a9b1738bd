// out[h] = Σ_i e^(most_i − most) sums_i / Σ_i e^(most_i − most) total_i over the splits i of attention_step.wgsl
// Shapes: parts [heads, SPLITS, D + 4]; out [heads, D].   Grid: heads · D / 4 / 64.   Bytes moved: parts once.
// Limits: as attention_step.wgsl.
// Twin: attention_step::merge_reference.   Joined with: call, kept_scores or no_scores.   Source: "Flash-Decoding", 2023
const HEAD_SIZE: u32 = 64u;
const SPLITS: u32 = 16u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

const HEAD_PARTS: u32 = HEAD_SIZE / 4u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / HEAD_PARTS;
    if (head >= params.heads) { return; }
    let first = head * SPLITS;
    var most = -3.0e38;
    for (var i = 0u; i < SPLITS; i++) { most = max(most, parts[(first + i) * (HEAD_PARTS + 1u) + HEAD_PARTS].x); }
    var sum = vec4<f32>(0.0);
    var total = 0.0;
    // A split without keys has a total of zero, and sums of zero.
    for (var i = 0u; i < SPLITS; i++) {
        let at = (first + i) * (HEAD_PARTS + 1u);
        let end = parts[at + HEAD_PARTS];
        let share = exp(end.x - most);
        sum += parts[at + id.x % HEAD_PARTS] * share;
        total += end.y * share;
    }
    out[id.x] = sum / total;
    if (id.x % HEAD_PARTS == 0u) { keep_total(head, most, total); }
}
