//! What domains publish about TLS is heeded: mail goes under the protection that they want, or waits. Never in clear text against it.

mod with_bind;
