//! The command line of `observer export`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use crate::app::args::{ObserveArgs, positive_duration};

/// Where it listens unless told otherwise: a port that nobody registered among those of exporters.
pub const LISTEN: &str = "127.0.0.1:9435";

/// Options of `observer export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Address and port to serve /metrics, /healthz and /readyz on [default: 127.0.0.1:9435]; a socket that systemd
    /// passes goes first
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// How often the numbers are renewed; scrapes in between see the same
    #[arg(long, value_name = "TIME", value_parser = positive_duration, default_value = "10s")]
    pub interval: Duration,
    /// Most series of listeners that are kept; what has no room is counted
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..))]
    pub max_series: u32,
    /// Count each worker too, with its process and thread id: series by the thousand where workers come and go
    #[arg(long)]
    pub per_worker: bool,
    /// Certificate chain to serve HTTPS with (PEM); read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Users and certificate in the form that Prometheus exporters take (basic_auth_users, tls_server_config)
    #[arg(long, value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    /// Keep the last minutes in memory, and write them to this directory as a recording when a finding is critical
    /// or on SIGUSR1
    #[arg(long, value_name = "DIR")]
    pub flight_recorder: Option<PathBuf>,
    /// How much of the past the flight recorder keeps, as far as 16 MiB hold it, or a fifth of --flight-recorder-size
    #[arg(long, value_name = "TIME", value_parser = positive_duration, default_value = "10min", requires = "flight_recorder")]
    pub keep: Duration,
    /// How long after a recording the flight recorder begins the next at the earliest; a minute at least
    #[arg(long, value_name = "TIME", value_parser = positive_duration, default_value = "15min", requires = "flight_recorder")]
    pub cooldown: Duration,
    /// Most that recordings may take in the directory, in MiB; the oldest go
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..), requires = "flight_recorder")]
    pub flight_recorder_size: u32,
    /// Print the reference of all metrics as Markdown (what docs/metrics.md is made with)
    #[arg(long, hide = true)]
    pub describe: bool,
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Parses an address with a port; `:PORT` is one of all addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| refused(text))?;
        return Ok(SocketAddr::from(([0, 0, 0, 0], port)));
    }
    text.parse().map_err(|_| refused(text))
}

fn refused(text: &str) -> String {
    format!("{text} is no address with a port; write one such as {LISTEN} or [::]:9435")
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_such_as_others_take() {
        assert_eq!(address("127.0.0.1:9435").map(|one| one.port()), Ok(9435));
        assert_eq!(address("[::1]:1").map(|one| one.is_ipv6()), Ok(true));
        assert_eq!(address(":9435").map(|one| one.ip().is_unspecified()), Ok(true));
        for wrong in ["9435", "localhost:9435", "127.0.0.1", ":x", "", "127.0.0.1:70000"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
