// Parameters and bindings of the product of a row (kernels/matvec.rs), and what becomes of it: see matvec.wgsl.
// The shader declares the constants.
struct Params { k: u32, rows: u32, first: u32, eps: f32, p4: u32, plane_rows: u32, plane_first: u32, bias: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
@group(0) @binding(8) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(9) var<storage, read_write> v_cache: array<u32>;

// Returns the four columns of quad t.
fn columns(t: u32) -> vec4<u32> {
    let within = t % LANES;
    if (EPILOGUE == 3u) {
        let quarter = HEAD_SIZE / 4u;
        let n = t / quarter * HEAD_SIZE + t % quarter * 2u;
        return vec4<u32>(n, n + 1u, n + 2u * quarter, n + 2u * quarter + 1u);
    }
    if (EPILOGUE == 2u) {
        let n = t / LANES * LANES * 2u + within;
        let half = params.rows / 2u;
        return vec4<u32>(n, n + LANES, half + n, half + n + LANES);
    }
    let n = t / LANES * LANES * 4u + within;
    return vec4<u32>(n, n + LANES, n + 2u * LANES, n + 3u * LANES);
}

// Returns the biases of four columns.
fn biases(n: vec4<u32>) -> vec4<f32> {
    let i = params.bias + n;
    return vec4<f32>(
        gamma[i.x / 4u][i.x % 4u],
        gamma[i.y / 4u][i.y % 4u],
        gamma[i.z / 4u][i.z % 4u],
        gamma[i.w / 4u][i.w % 4u],
    );
}

// Stores elements i and i + 1 of a head, and their partners D/2 further on.
fn store_heads(n: u32, y: vec4<f32>) {
    let head = n / HEAD_SIZE;
    let i = n % HEAD_SIZE;
    let half = HEAD_SIZE / 2u;
    if (head >= Q_HEADS + K_HEADS) {
        let to = (call.pos * V_HEADS + head - Q_HEADS - K_HEADS) * HEAD_SIZE + i;
        put_value(to / 2u, y.xy);
        put_value((to + half) / 2u, y.zw);
        return;
    }
    let turn = vec4<f32>(table[call.pos * half + i], table[call.pos * half + i + 1u]);
    let low = y.xy * turn.xz - y.zw * turn.yw;
    let high = y.zw * turn.xz + y.xy * turn.yw;
    if (head < Q_HEADS) {
        out[n] = low.x;
        out[n + 1u] = low.y;
        out[n + half] = high.x;
        out[n + half + 1u] = high.y;
    } else {
        let to = (call.pos * K_HEADS + head - Q_HEADS) * HEAD_SIZE + i;
        put_key(to / 2u, low);
        put_key((to + half) / 2u, high);
    }
}

fn store(n: u32, y: f32) {
    if (n >= params.rows) { return; }
    let to = params.first + n;
    if (EPILOGUE == 1u) { out[to] += y; } else { out[to] = y; }
}

// Stores the products of four columns, divided by the root mean square of x, of which the sum of squares is given.
fn finish(n: vec4<u32>, products: vec4<f32>, square: f32) {
    var y = products;
    if (NORM == 1u) { y *= inverseSqrt(square / f32(params.k) + params.eps); }
    if (EPILOGUE == 3u) {
        if (n.x < params.rows) {
            if (BIAS == 1u) { y += biases(n); }
            store_heads(n.x, y);
        }
    } else if (EPILOGUE == 2u) {
        let gated = y.xy / (1.0 + exp(-y.xy)) * y.zw;
        if (n.x < params.rows / 2u) { out[n.x] = gated.x; }
        if (n.y < params.rows / 2u) { out[n.y] = gated.y; }
    } else {
        store(n.x, y.x);
        store(n.y, y.y);
        store(n.z, y.z);
        store(n.w, y.w);
    }
}
