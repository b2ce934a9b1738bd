// out[i] = x[i]
// Shapes: x, out [count, 4].   Grid: count / 64.   Bytes moved: x once, out once.
// Twin: calibrate::COPY.   Joined with: call.
struct Params { count: u32, p1: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) { out[id.x] = x[id.x]; }
}
