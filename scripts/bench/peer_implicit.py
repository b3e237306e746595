"""implicit (Ben Frederickson): BPR and ALS in Cython with OpenMP, top-N by BLAS and a heap."""
import numpy as np
from common import Clock, emit, fields_of_training, matrix, quality
from threadpoolctl import threadpool_info, threadpool_limits


def version():
    import implicit

    return implicit.__version__


def check_threads(args):
    """Fails when OpenMP would not use the threads that were asked for."""
    import implicit.cpu.bpr  # noqa: F401

    openmp = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]
    if not openmp or max(openmp) < args.threads:
        raise SystemExit(f"OpenMP has {openmp} threads, not {args.threads}: is OMP_NUM_THREADS set?")


def bpr(data, args):
    """Epochs of BPR with validation after every `--validate-every`, then top-20 lists for all users.

    An epoch draws as many triples as there are positives; one whose negative is a positive of the user is left out,
    as this library does it. Negatives are drawn by popularity.
    """
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    check_threads(args)
    model = BayesianPersonalizedRanking(
        factors=args.dim,
        learning_rate=args.learning_rate,
        regularization=args.regularization,
        iterations=args.epochs,
        num_threads=args.threads,
        random_state=args.seed,
    )
    train = matrix(data, "train")
    curve = []

    def after_epoch(epoch, seconds, correct, skipped):
        point = {"epoch": epoch + 1, "seconds": round(seconds, 5)}
        if (epoch + 1) % args.validate_every == 0 and "valid" in data.parts:
            point.update(quality(data, model.user_factors, model.item_factors))
        curve.append(point)

    # BLAS runs inside of implicit's own threads, as its documentation asks.
    with threadpool_limits(1, user_api="blas"):
        model.fit(train, show_progress=False, callback=after_epoch)
    settings = {"learning_rate": args.learning_rate, "regularization": args.regularization}
    emit("implicit", "bpr", args, version=version(), settings=settings, **fields_of_training(curve, train.nnz))
    rank(data, args, model)


def rank(data, args, model):
    """Top-20 of every user, what train and validation hold left out."""
    parts = [part for part in ("train", "valid") if part in data.parts]
    seen = matrix(data, *parts)
    users = np.arange(data.num_users)
    times = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(args.repeat):
            with Clock() as clock:
                model.recommend(users, seen, N=20, filter_already_liked_items=True)
            times.append(clock.seconds)
    emit(
        "implicit",
        "rank",
        args,
        version=version(),
        seconds=round(float(np.median(times)), 5),
        items=data.num_users,
        unit="users with a top-20 list",
    )


def als(data, args):
    """Iterations of implicit ALS by conjugate gradients, both sides."""
    from implicit.cpu.als import AlternatingLeastSquares

    check_threads(args)
    model = AlternatingLeastSquares(
        factors=args.dim,
        regularization=args.regularization,
        iterations=args.epochs,
        num_threads=args.threads,
        random_state=args.seed,
    )
    train = matrix(data, "train")
    curve = []

    def after_iteration(epoch, seconds, _loss):
        point = {"epoch": epoch + 1, "seconds": round(seconds, 5)}
        if (epoch + 1) % args.validate_every == 0 and "valid" in data.parts:
            point.update(quality(data, model.user_factors, model.item_factors))
        curve.append(point)

    with threadpool_limits(1, user_api="blas"):
        model.fit(train, show_progress=False, callback=after_iteration)
    settings = {"regularization": args.regularization}
    emit("implicit", "als", args, version=version(), settings=settings, **fields_of_training(curve, train.nnz))
