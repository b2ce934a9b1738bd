// map[p, c] = hardswish(map[p, c]) · hardsigmoid(gate[c])
// hardsigmoid(x) = clamp(x + 3, 0, 6) / 6; hardswish(x) = x · hardsigmoid(x)
// Shapes: gate [cols]; map [rows, cols].   Grid: (cols / 4 / 64, rows).   Limits: cols a multiple of 4.
// Bytes moved: map twice.   Twin: excite::EXCITE.   Joined with: call.   Source: arXiv 1905.02244
struct Params { cols: u32, rows: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> map: array<vec4<f32>>;

fn hardsigmoid(x: vec4<f32>) -> vec4<f32> { return clamp(x + 3.0, vec4<f32>(0.0), vec4<f32>(6.0)) / 6.0; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let parts = params.cols / 4u;
    if (id.x >= parts) { return; }
    let at = id.y * parts + id.x;
    let x = map[at];
    map[at] = x * hardsigmoid(x) * hardsigmoid(gate[id.x]);
}
