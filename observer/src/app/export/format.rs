//! Formats of the page, and which of them a scraper asks for. Pure.

/// Format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// OpenMetrics text, 1.0.0.
    OpenMetrics,
    /// Prometheus text, 0.0.4.
    Text,
    /// Prometheus protobuf, delimited: the only one with native histograms.
    Protobuf,
}

/// Longest `Accept` that is looked at: that of Prometheus has 400 bytes.
const LONGEST: usize = 4096;

impl Format {
    /// Content type to answer with.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What a scraper wants most, by its `Accept`: the greatest quality, of equal ones the first. Who asks for
    /// anything gets Prometheus text, which every tool reads.
    #[must_use]
    pub fn asked_for(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.get(..LONGEST.min(accept.len())).unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> =
                parts.filter_map(|part| part.split_once('=')).collect();
            let of = |name: &str| {
                let found =
                    parameters.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.trim().trim_matches('"'))
            };
            let Some(format) = Self::of(kind, of("version"), of("proto"), of("encoding")) else {
                continue;
            };
            let quality = of("q").map_or(1.0, |text| text.parse::<f64>().unwrap_or(0.0));
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    fn of(
        kind: &str,
        version: Option<&str>,
        proto: Option<&str>,
        encoding: Option<&str>,
    ) -> Option<Self> {
        match kind.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => version
                .is_none_or(|version| ["0.0.1", "1.0.0"].contains(&version))
                .then_some(Self::OpenMetrics),
            "application/vnd.google.protobuf" => {
                let fits = proto == Some("io.prometheus.client.MetricFamily")
                    && encoding == Some("delimited");
                fits.then_some(Self::Protobuf)
            }
            "text/plain" => version.is_none_or(|version| version == "0.0.4").then_some(Self::Text),
            "text/*" | "*/*" => Some(Self::Text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn scrapers_get_what_they_want_most() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                            q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let with_native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                           application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.6,*/*;q=0.5";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;\
                            escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_2, Format::OpenMetrics),
            (with_native, Format::Protobuf),
            (prometheus_3, Format::OpenMetrics),
            ("*/*", Format::Text),
            ("", Format::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Text),
            ("application/openmetrics-text; version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/vnd.google.protobuf;proto=another;encoding=delimited", Format::Text),
            ("text/plain;q=0.5,application/openmetrics-text;q=nonsense", Format::Text),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Text),
        ] {
            assert_eq!(Format::asked_for(accept), format, "{accept}");
        }
        assert_eq!(Format::asked_for(&"é,".repeat(9999)), Format::Text);
    }
}
