//! The server: connections with bounds, so that a slow or hostile client costs itself only.
//!
//! Each connection has one request, a bounded head and a bounded time. There is room for so many; where another comes,
//! the one that is there longest goes, since whoever scrapes is done within milliseconds.

use std::{collections::VecDeque, convert::Infallible, io, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{site::Site, tls::Tls};

/// Most connections at once.
const MOST: usize = 64;

/// How long a client may take to send the head of its request.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may take from its first byte to its last.
const WHOLE_TIME: Duration = Duration::from_secs(30);

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Most headers of a request.
const HEADERS: usize = 64;

/// How long nobody is let in when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a site for ever.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, site: Arc<Site>) {
    let tls = tls.map(Arc::new);
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("no connection can be accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        open.retain(|one| !one.is_finished());
        if open.len() >= MOST
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            site.cut("room");
        }
        let (tls, site) = (tls.clone(), site.clone());
        let task = tokio::spawn(async move {
            match timeout(WHOLE_TIME, connection(stream, tls, &site)).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => site.cut(reason),
                Err(_) => site.cut("time"),
            }
        });
        open.push_back(task.abort_handle());
    }
}

/// Answers the request of one connection; why it could not, otherwise.
async fn connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    site: &Arc<Site>,
) -> Result<(), &'static str> {
    match tls {
        None => answer(stream, site).await,
        Some(tls) => {
            let stream = tls.acceptor().accept(stream).await.map_err(|_| "tls")?;
            answer(stream, site).await
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    site: &Arc<Site>,
) -> Result<(), &'static str> {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = site.clone();
        async move { Ok::<Response<Full<Bytes>>, Infallible>(site.answer(&request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let result = http.serve_connection(TokioIo::new(stream), service).await;
    result.map_err(|error| if error.is_timeout() { "time" } else { "error" })
}

/// Makes a socket that listens one of the event loop.
///
/// # Errors
///
/// When it is none.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
