//! With a real BIND: hosts found through MX records.

use crate::harness::Site;
use crate::harness::bind::Bind;

#[test]
fn bind_itself_answers() {
    let site = Site::new();
    let _bind = Bind::start(&site, 5, "dest MX 10 mx1\nmx1 A 127.0.0.2\nnone MX 0 .\nalias CNAME dest\n");
}
