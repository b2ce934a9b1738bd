// out[0] = class + position[0];  out[1 + p] = patches[p] + position[1 + p]
// Shapes: patches [P, C]; class [C]; position, out [P + 1, C].   Grid: (C / 64, P + 1).   Bytes moved: out three times.
// Twin: vision_embed::VISION_EMBED.   Joined with: call.
struct Params { cols: u32, count: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> patches: array<f32>;
@group(0) @binding(3) var<storage, read> class_embedding: array<f32>;
@group(0) @binding(4) var<storage, read> position: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.cols) { return; }
    let at = id.y * params.cols + id.x;
    var value = 0.0;
    if (id.y == 0u) { value = class_embedding[id.x]; } else { value = patches[at - params.cols]; }
    out[at] = value + position[at];
}
