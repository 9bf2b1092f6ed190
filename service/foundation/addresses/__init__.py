"""The addresses of PostgreSQL, Redis and Stripe: parsed by their grammar, and shown without their passwords.

postgres    libpq's URLs, several hosts, TLS, as the driver takes them
libpq       the grammar of these URLs, as libpq itself reads them
redis       Redis, Sentinel and Cluster
stripe      Stripe's address, and which key fits it
tls_files   certificates
"""
