//! A static server for the page, with the headers that a careful host would send.
//!
//! The page works from any static host. This one adds headers: a security policy that restricts the page to its own
//! files, isolation from other tabs, and caching that saves a returning visitor a second download of the weights. The
//! page's own files are compressed, in advance (`x.gz`, `x.br` beside `x`) or while they are served. Models are not
//! compressed, since they are read by ranges and a compressed answer has none.

use axum::Router;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use clap::Parser;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

/// Serve the page.
#[derive(Parser)]
#[command(name = "serve", version)]
struct Args {
    /// Folder to serve.
    #[arg(long, default_value = "www")]
    root: PathBuf,
    /// Address to listen on; the default is reachable from this machine only.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Another origin that `?model=` may load weights from, such as `https://example.org`; repeatable. The Hugging Face
    /// hub is always allowed.
    #[arg(long, value_name = "ORIGIN")]
    model_host: Vec<String>,
    /// A folder of your own models (GGUF pairs, shards, checkpoints), served under /models-local/.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Cache control of shards: they are named by their hash, so the content of a name never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Cache control of all other files: revalidated at every visit.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Hosts of most models' weights: the hub, and the hosts that its addresses redirect to. They are allowed by default
/// because most people will paste such an address, and because the page only *reads* there: it sends no cookies, no
/// referrer and no body, so that no data of the person leaves the page. A host without a scheme restricts a page that
/// was served securely to secure requests.
const HUB_HOSTS: [&str; 3] = ["huggingface.co", "*.huggingface.co", "*.hf.co"];

/// Returns the policy of the page and of its worker, which obeys the header of its own script. `index.html` repeats it
/// for hosts that send no headers; only this header names other model hosts.
fn content_security_policy(model_hosts: &[String]) -> String {
    let mut connect = "connect-src 'self'".to_owned();
    for host in HUB_HOSTS.into_iter().chain(model_hosts.iter().map(String::as_str)) {
        connect.push(' ');
        connect.push_str(host);
    }
    format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; \
         {connect}; worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types own-scripts llava-web"
    )
}

/// Headers with which any page may read these weights by ranges, and learn the place of a range and the version of its
/// file, to resume and to verify.
const SHARED: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, HEAD"),
    ("access-control-allow-headers", "Range"),
    ("access-control-expose-headers", "Accept-Ranges, Content-Length, Content-Range, ETag"),
    ("cross-origin-resource-policy", "cross-origin"),
];
/// Path of the person's own models.
const LOCAL: &str = "/models-local";

/// Returns whether `path` is a file of a model: shard, manifest, checkpoint, GGUF.
fn is_model(path: &str) -> bool {
    path.starts_with("/models/") || path.starts_with("/models-local/")
}

/// Returns whether `path` is a shard, named by its hash; `model-00001.bin` of a checkpoint is not.
fn is_content_addressed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    is_model(path)
        && name.strip_suffix(".bin").is_some_and(|stem| stem.len() >= 16 && stem.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Returns whether `path` is a file of one version of the page, whose folder is named by the hash of its contents
/// (`build.sh site`).
fn is_versioned(path: &str) -> bool {
    let version = path.strip_prefix("/v/").and_then(|rest| rest.split_once('/'));
    version.is_some_and(|(version, _)| version.len() == 16 && version.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Adds the headers of every response and those that depend on the path.
async fn add_headers(
    axum::extract::State(policy): axum::extract::State<Arc<HeaderValue>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let (model, immutable) = (is_model(path), is_content_addressed(path) || is_versioned(path));
    let preflight = model && request.method() == Method::OPTIONS;
    let mut response = if preflight {
        // Another site's page asks for permission to request a range.
        let mut answer = Response::default();
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer
    } else {
        next.run(request).await
    };
    let found = response.status().is_success();
    let headers = response.headers_mut();
    // An error page must not be cached as the content of a shard.
    headers.insert(header::CACHE_CONTROL, if immutable && found { IMMUTABLE } else { REVALIDATE });
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.as_ref().clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !model {
        // Also where this answer is not compressed: another visitor's answer from the same address may be.
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ]
    .iter()
    .chain(if model { &SHARED[..] } else { &[] })
    {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Returns whether an answer of this type is worth compressing.
fn shrinks(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    const TYPES: [&str; 4] = ["text/", "application/json", "application/wasm", "image/svg+xml"];
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    TYPES.iter().any(|start| kind.starts_with(start))
}

/// Routes the page, compressed where the browser accepts it, and the shipped and local models, uncompressed.
fn router(root: &Path, models: Option<&Path>, policy: HeaderValue) -> Router {
    let page = ServeDir::new(root).precompressed_br().precompressed_gzip();
    let page = Router::new().fallback_service(page).layer(CompressionLayer::new().compress_when(shrinks));
    let mut app = page.nest_service("/models", ServeDir::new(root.join("models")));
    if let Some(folder) = models {
        app = app.nest_service(LOCAL, ServeDir::new(folder));
    }
    app.layer(from_fn_with_state(Arc::new(policy), add_headers))
}

/// Returns the query that opens each model in `folder` or one folder deeper.
fn links(folder: &Path) -> Vec<String> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    let address = |path: &Path| {
        let relative = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/");
        format!("{}/{}", LOCAL.trim_start_matches('/'), escaped(&relative))
    };
    let folders = std::iter::once(folder.to_owned()).chain(entries(folder).into_iter().filter(|path| path.is_dir()));
    let mut links = Vec::new();
    for folder in folders {
        let files = entries(&folder);
        let named = |name: &str| files.iter().find(|path| path.file_name().is_some_and(|n| n == name));
        if let Some(main) = named("manifest.json").or_else(|| named("config.json")) {
            links.push(format!("model={}", address(main)));
            continue;
        }
        let ggufs = files.iter().filter(|path| path.extension().is_some_and(|e| e == "gguf"));
        // A file in several pieces is opened by its first.
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let whole = ggufs.filter(|path| !name(path).contains("-of-") || name(path).contains("-00001-of-"));
        let (mmproj, models): (Vec<_>, Vec<_>) = whole.partition(|path| name(path).contains("mmproj"));
        for model in models {
            let tower = mmproj.first().map(|path| format!("&mmproj={}", address(path))).unwrap_or_default();
            links.push(format!("model={}{tower}", address(model)));
        }
    }
    links
}

/// Percent-encodes `path` for a query.
fn escaped(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

async fn serve(args: Args) -> Result<(), String> {
    if !args.root.join("index.html").is_file() {
        return Err(format!(
            "{} holds no index.html: run this from the repository, or name the folder with --root",
            args.root.display()
        ));
    }
    for host in &args.model_host {
        let rest = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://"));
        if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains([' ', ';', ',', '/', '\''])) {
            return Err(format!("--model-host {host}: give an origin such as https://example.org"));
        }
    }
    let policy = HeaderValue::from_str(&content_security_policy(&args.model_host))
        .map_err(|_| "--model-host: an origin holds characters that a header cannot".to_owned())?;
    if let Some(folder) = args.models.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(format!("--models {}: there is no such folder", folder.display()));
    }
    let app = router(&args.root, args.models.as_deref(), policy);
    let listener = tokio::net::TcpListener::bind((args.host, args.port)).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            format!("port {0} is in use: stop what listens there, or choose another with --port", args.port)
        }
        ErrorKind::PermissionDenied => {
            format!("not permitted to listen on port {}: choose one above 1023 with --port", args.port)
        }
        _ => format!("cannot listen on {}:{}: {error}", args.host, args.port),
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    // `localhost` is a secure context, which WebGPU requires; a bare LAN address is not.
    let shown = if args.host.is_loopback() { format!("localhost:{}", address.port()) } else { address.to_string() };
    println!("LLaVA in your browser: http://{shown}/   (Ctrl-C stops)");
    for query in args.models.iter().flat_map(|folder| links(folder)) {
        println!("  http://{shown}/?{query}");
    }
    axum::serve(listener, app).await.map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(serve(Args::parse())),
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("serve: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt;

    #[test]
    fn policy_names_the_other_hosts_under_connect_only() {
        let policy = content_security_policy(&["https://example.org".to_owned()]);
        assert!(policy.contains("connect-src 'self' huggingface.co *.huggingface.co *.hf.co https://example.org;"));
        assert_eq!(policy.matches("example.org").count(), 1);
        assert!(!policy.contains("unsafe-inline"));
    }

    #[test]
    fn only_names_that_are_hashes_are_immutable() {
        assert!(is_content_addressed("/models/scenes/fa5b2757aec19a5b.bin"));
        assert!(!is_content_addressed("/models-local/llava/pytorch_model.bin"));
        assert!(!is_content_addressed("/models/scenes/manifest.json"));
        assert!(!is_content_addressed("/pkg/fa5b2757aec19a5b.bin"));
        assert!(is_versioned("/v/fa5b2757aec19a5b/page/main.js"));
        assert!(!is_versioned("/v/fa5b2757aec19a5b"));
        assert!(!is_versioned("/v/latest/page/main.js"));
        assert!(!is_versioned("/models/v/fa5b2757aec19a5b/page/main.js"));
    }

    /// Makes a folder with these files for one test.
    fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("llava-serve-{name}-{}", std::process::id()));
        for (file, bytes) in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        folder
    }

    /// Returns status, headers and body of the answer to a GET.
    fn get(app: &Router, path: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(name, *value));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (parts, body) = answer.into_parts();
            (parts.status, parts.headers, axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec())
        })
    }

    #[test]
    fn the_page_is_compressed_and_models_are_not() {
        let text = "let words = 1;\n".repeat(200);
        let root = folder(
            "compressed",
            &[
                ("index.html", text.as_bytes()),
                ("page/main.js", text.as_bytes()),
                ("icon.png", text.as_bytes()),
                ("pkg/x.wasm", text.as_bytes()),
                ("pkg/x.wasm.gz", b"\x1f\x8bin advance"),
                ("pkg/x.wasm.br", b"brotli, in advance"),
                ("models/scenes/manifest.json", text.as_bytes()),
                ("own/config.json", text.as_bytes()),
            ],
        );
        let app = router(&root, Some(&root.join("own")), HeaderValue::from_static("policy"));
        let any = [(header::ACCEPT_ENCODING, "gzip, deflate, br")];
        let encoding = |headers: &HeaderMap| headers.get(header::CONTENT_ENCODING).cloned();
        let gzip = Some(HeaderValue::from_static("gzip"));
        let seen = |path: &str, asked: &[(HeaderName, &str)]| {
            let (status, headers, body) = get(&app, path, asked);
            assert!(status.is_success(), "{path}: {status}");
            assert_eq!(headers.contains_key(header::VARY), !is_model(path), "{path}");
            (headers, body)
        };
        // While served: text is compressed on request, pictures are not.
        for path in ["/", "/page/main.js"] {
            let (headers, body) = seen(path, &any);
            assert_eq!(encoding(&headers), gzip, "{path}");
            assert!(body.starts_with(b"\x1f\x8b") && body.len() < text.len() / 4, "{path}: {} bytes", body.len());
            assert!(!headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::ACCEPT_RANGES));
        }
        assert_eq!(encoding(&seen("/icon.png", &any).0), None);
        assert_eq!(seen("/page/main.js", &[]).1, text.as_bytes());
        // In advance: the best accepted encoding, under the file's own type.
        let (headers, body) = seen("/pkg/x.wasm", &any);
        assert_eq!((encoding(&headers), &body[..]), (Some(HeaderValue::from_static("br")), &b"brotli, in advance"[..]));
        assert_eq!(headers[header::CONTENT_TYPE], "application/wasm");
        assert_eq!(seen("/pkg/x.wasm", &[(header::ACCEPT_ENCODING, "gzip")]).1, b"\x1f\x8bin advance");
        assert_eq!(seen("/pkg/x.wasm", &[]).1, text.as_bytes());
        // Models are uncompressed: whole, and by ranges.
        for path in ["/models/scenes/manifest.json", "/models-local/config.json"] {
            let (headers, body) = seen(path, &any);
            assert_eq!((encoding(&headers), body.len()), (None, text.len()), "{path}");
            let (headers, body) = seen(path, &[any[0].clone(), (header::RANGE, "bytes=2-5")]);
            assert_eq!((encoding(&headers), &body[..]), (None, &text.as_bytes()[2..6]), "{path}");
            assert_eq!(headers[header::CONTENT_RANGE], format!("bytes 2-5/{}", text.len()));
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn models_are_found_and_their_addresses_escaped() {
        let names = [
            "pair/a b.gguf",
            "pair/mmproj.gguf",
            "split/x-00001-of-00002.gguf",
            "split/x-00002-of-00002.gguf",
            "hf/config.json",
        ];
        let folder = folder("links", &names.map(|name| (name, &b""[..])));
        let found = links(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            [
                "model=models-local/hf/config.json",
                "model=models-local/pair/a%20b.gguf&mmproj=models-local/pair/mmproj.gguf",
                "model=models-local/split/x-00001-of-00002.gguf",
            ]
        );
    }
}
