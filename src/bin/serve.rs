//! A static server for the page: the headers a careful host would send, and nothing else.
//!
//! The page works from any static host. What this one adds is in the headers: the security policy that
//! proves "only its own files", isolation from other tabs, and caching that lets a visitor come back
//! without downloading weights twice.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use clap::Parser;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
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
    /// Another origin that `?model=` may load weights from, such as https://huggingface.co (repeatable).
    #[arg(long, value_name = "ORIGIN")]
    model_host: Vec<String>,
}

/// Weights: shards are named by their hash, so a name never changes its content.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Everything else: ask whether it changed, every time.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Where the weights of most models lie: the hub, and the hosts that its addresses redirect to. Allowed by default
/// because pasting such an address is what most people will do, and because the page only ever *reads* there: it
/// sends no cookies, no referrer and no body, so that nothing of the person can leave by this door. Without a scheme
/// a page that was served securely may ask them securely only.
const HUB_HOSTS: [&str; 3] = ["huggingface.co", "*.huggingface.co", "*.hf.co"];

/// The policy of the page and of its worker (a worker obeys the header of its own script, not the page's).
/// `index.html` repeats it for hosts that send no headers; only this header knows other model hosts.
fn content_security_policy(model_hosts: &[String]) -> String {
    let mut connect = "connect-src 'self'".to_owned();
    for host in HUB_HOSTS.into_iter().chain(model_hosts.iter().map(String::as_str)) {
        connect.push(' ');
        connect.push_str(host);
    }
    format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; \
         {connect}; worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types own-scripts"
    )
}

/// Adds the headers that depend on the path and those that do not.
async fn add_headers(
    axum::extract::State(policy): axum::extract::State<Arc<HeaderValue>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let shard = path.contains("/models/") && path.ends_with(".bin");
    let mut response = next.run(request).await;
    let found = response.status().is_success();
    let headers = response.headers_mut();
    // An error page must not be remembered as the content of a shard.
    headers.insert(header::CACHE_CONTROL, if shard && found { IMMUTABLE } else { REVALIDATE });
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.as_ref().clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
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
            return Err(format!("--model-host {host}: an origin is wanted, such as https://example.org"));
        }
    }
    let policy = HeaderValue::from_str(&content_security_policy(&args.model_host))
        .map_err(|_| "--model-host: an origin holds characters that a header cannot".to_owned())?;
    let app = Router::new()
        .fallback_service(ServeDir::new(&args.root))
        .layer(from_fn_with_state(Arc::new(policy), add_headers));
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
    // `localhost` counts as a secure context, which WebGPU wants; a bare LAN address does not.
    let shown = if args.host.is_loopback() { format!("localhost:{}", address.port()) } else { address.to_string() };
    println!("LLaVA in your browser: http://{shown}/   (Ctrl-C stops)");
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

    #[test]
    fn policy_names_the_other_hosts_under_connect_only() {
        let policy = content_security_policy(&["https://example.org".to_owned()]);
        assert!(policy.contains("connect-src 'self' huggingface.co *.huggingface.co *.hf.co https://example.org;"));
        assert_eq!(policy.matches("example.org").count(), 1);
        assert!(!policy.contains("unsafe-inline"));
    }
}
