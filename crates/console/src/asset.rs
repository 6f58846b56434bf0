//! Style sheet, scripts and picture of the pages, within the program.
//!
//! Each is served under a name that has a hash of its content in it, so a browser may keep it for ever. Foreign ones: htmx
//! (Zero-Clause BSD) keeps lists up to date, uPlot (MIT) draws plots; their licences lie beside them. Neither needs an inline
//! style, an inline script or `eval` as we use them: `script-src 'self'; style-src 'self'` holds.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file that is served under `/assets/NAME`: its content type and its octets. It never changes under this name.
#[must_use]
pub fn asset(name: &str) -> Option<(&'static str, &'static [u8])> {
    FILES.iter().find(|(served, ..)| *served == name).map(|(_, kind, octets)| (*kind, *octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_the_address_that_pages_have() {
        for (address, kind) in [
            (APP_CSS, "text/css; charset=utf-8"),
            (APP_JS, "text/javascript; charset=utf-8"),
            (HTMX_MIN_JS, "text/javascript; charset=utf-8"),
            (UPLOT_MIN_JS, "text/javascript; charset=utf-8"),
            (UPLOT_MIN_CSS, "text/css; charset=utf-8"),
            (MARK_SVG, "image/svg+xml"),
        ] {
            let (found, octets) = asset(address.strip_prefix("/assets/").unwrap()).unwrap();
            assert_eq!(found, kind, "{address}");
            assert!(!octets.is_empty(), "{address}");
        }
        assert_eq!(asset("app.js"), None, "only with its hash");
        assert!(!FILES.iter().any(|(name, ..)| name.contains("LICENSE")));
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        let (_, css) = asset(APP_CSS.strip_prefix("/assets/").unwrap()).unwrap();
        let css = std::str::from_utf8(css).unwrap();
        assert!(!css.contains("url(") && !css.contains("@import"));
    }
}
