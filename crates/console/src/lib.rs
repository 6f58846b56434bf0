//! Pages: views in, HTML out; forms in, commands out. No I/O, no clock, nothing but [`relay::admin`].
