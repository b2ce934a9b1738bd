// out[s, layer] = mean_h e^(kept[layer, h, s] − most[layer, h]) / total[layer, h]: the attention of one row.
// Shapes: kept [L, heads, STRIDE] as in shared/kept_scores.wgsl, of it S columns; out [S, L].   S = pos + 1.
// Grid: ⌈S / 64⌉ × L, one invocation per weight.   Bytes moved: 4 · L · heads · S.   No workgroup memory, no barrier.
// Twin: attention_weights::reference.   Joined with: call.
struct Params { layers: u32, heads: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> kept: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x > call.pos) { return; }
    var sum = 0.0;
    for (var h = 0u; h < params.heads; h++) {
        let first = (id.y * params.heads + h) * params.stride;
        let end = first + params.stride;
        sum += exp(kept[first + id.x] - kept[end - 2u]) * kept[end - 1u];
    }
    out[id.x * params.layers + id.y] = sum / f32(params.heads);
}
