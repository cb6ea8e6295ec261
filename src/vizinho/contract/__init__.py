"""The contract of the API, free of frameworks: what may be asked, and what is answered.

The HTTP server (:mod:`vizinho.serve`) and the function on AWS (:mod:`vizinho.aws`) both speak it;
each only carries requests in and answers out.
"""
