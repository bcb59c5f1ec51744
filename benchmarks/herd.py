def run(*, quick=False): pass
