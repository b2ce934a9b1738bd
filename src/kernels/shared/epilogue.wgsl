// Parameters and bindings of a product of many rows (kernels/matmul.rs), and its epilogue:
//   out[m, first + n] = f(sum + bias[first + n] + out[m, first + n]); params.epilogue selects f, bias and the old value
// Parameters: k = K; rows of the tile of w; first, the tile's first row in w; stride of a row of out; m = M, 0 for the
//   rows of the call; plane_rows, plane_first: rows of the planes, and the tile's first among them.
struct Params { k: u32, rows: u32, first: u32, stride: u32, m: u32, plane_rows: u32, plane_first: u32, epilogue: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// Bits of params.epilogue. They are not constants, so that one pipeline serves every product of a weight type. The low
// 24 bits hold the size of a workgroup's tile, which only the grid needs.
const BIAS: u32 = 0x1000000u;
const ACCUMULATE: u32 = 0x2000000u;
const ACTIVATION: u32 = 26u; // from this bit on: 0 none, 1 quick-GELU x · sigmoid(1.702 x), 2 exact GELU x · Φ(x),
// 3 GELU by tanh, 4 ReLU

fn quick_gelu(x: vec4<f32>) -> vec4<f32> { return x / (1.0 + exp(-1.702 * x)); }

// Abramowitz and Stegun 7.1.26, absolute error at most 1.5e-7.
fn erf(x: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - poly * exp(-x * x));
}

fn gelu(x: vec4<f32>) -> vec4<f32> { return 0.5 * x * (1.0 + erf(x * 0.70710678118)); }

// x/2 · (1 + tanh(u)) = x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³). The cube soon exceeds what exp can take: beyond
// ±80 the sigmoid is 0 or 1 to less than one rounding.
fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    let twice = x * (1.59576912161 + 0.0713548162726 * x * x);
    return x / (1.0 + exp(clamp(-twice, vec4<f32>(-80.0), vec4<f32>(80.0))));
}

fn stored(at: vec4<u32>) -> vec4<f32> { return vec4<f32>(out[at.x], out[at.y], out[at.z], out[at.w]); }

fn put(at: vec4<u32>, y: vec4<f32>) {
    out[at.x] = y.x;
    out[at.y] = y.y;
    out[at.z] = y.z;
    out[at.w] = y.w;
}

// Stores the sums of rows m to m + 3 (a matrix column each) and of four ascending columns. One test covers all 16
// elements where they exist. Otherwise rows and columns past the end repeat the first: they store the same value at the
// same place.
fn store(m: u32, m_rows: u32, columns: vec4<u32>, sums: mat4x4<f32>) {
    var row = vec4<u32>(m) + vec4<u32>(0u, 1u, 2u, 3u);
    var column = columns;
    var y = sums;
    if (row.w >= m_rows || column.w >= params.rows) {
        if (row.x >= m_rows || column.x >= params.rows) { return; }
        let inside = column < vec4<u32>(params.rows);
        y[0] = select(y[0].xxxx, y[0], inside);
        y[1] = select(y[0], select(y[1].xxxx, y[1], inside), row.y < m_rows);
        y[2] = select(y[0], select(y[2].xxxx, y[2], inside), row.z < m_rows);
        y[3] = select(y[0], select(y[3].xxxx, y[3], inside), row.w < m_rows);
        column = select(column.xxxx, column, inside);
        row = select(row.xxxx, row, row < vec4<u32>(m_rows));
    }
    column += params.first;
    let at0 = row.x * params.stride + column;
    let at1 = row.y * params.stride + column;
    let at2 = row.z * params.stride + column;
    let at3 = row.w * params.stride + column;
    if ((params.epilogue & BIAS) != 0u) {
        let b = vec4<f32>(bias[column.x], bias[column.y], bias[column.z], bias[column.w]);
        y += mat4x4<f32>(b, b, b, b);
    }
    // All 16 are read before any is stored: the repeated ones read the old value, too.
    if ((params.epilogue & ACCUMULATE) != 0u) { y += mat4x4<f32>(stored(at0), stored(at1), stored(at2), stored(at3)); }
    let activation = params.epilogue >> ACTIVATION;
    // Loops: a compiler for hardware unrolls them, one for a CPU compiles the formula once.
    if (activation == 1u) {
        for (var r = 0u; r < 4u; r++) { y[r] = quick_gelu(y[r]); }
    } else if (activation == 2u) {
        for (var r = 0u; r < 4u; r++) { y[r] = gelu(y[r]); }
    } else if (activation == 3u) {
        for (var r = 0u; r < 4u; r++) { y[r] = gelu_tanh(y[r]); }
    } else if (activation == 4u) {
        for (var r = 0u; r < 4u; r++) { y[r] = max(y[r], vec4<f32>(0.0)); }
    }
    put(at0, y[0]);
    put(at1, y[1]);
    put(at2, y[2]);
    put(at3, y[3]);
}
