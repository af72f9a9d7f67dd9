package lambda

import "coffer/internal/api"

func (s *Service) layerOperations() []api.Bound { return nil }
